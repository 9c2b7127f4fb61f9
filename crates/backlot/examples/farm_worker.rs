//! Backlot on a farm: several jobs of one machine get the same asset at once, each into a workspace of its own, all through one cache.
//!
//! `cargo run -p backlot --example farm_worker -- REPO REMOTE ASSET WORK_FOLDER`

use std::io::Write as _;
use std::path::{Path, PathBuf};

use backlot::{Context, Error, GetOptions, Host, Pool, Workspace};

/// How many jobs run at once.
const JOBS: usize = 4;

/// Get the asset and its files into a workspace. Returns how many files there are, and how many objects came over the network.
fn job(folder: &Path, asset: &str, options: &GetOptions, host: &Host) -> Result<(u64, u64), Error> {
    let got = Workspace::get(folder, &[asset.to_owned()], options, host, &Context::default())?;
    let Some(moved) = got.files else { return Ok((0, 0)) };
    let files = moved.assets.iter().map(|asset| asset.files).sum();
    Ok((files, moved.objects))
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [repo, remote, asset, work] = arguments.as_slice() else {
        return Err("usage: farm_worker REPO REMOTE ASSET WORK_FOLDER".into());
    };
    let work = PathBuf::from(work);
    // One host for all: they share its cache, its runtime, and two threads to compute with, so that renders keep their cores.
    let mut host = Host::new(work.join("cache"));
    host.pool = Pool::new(2);
    let options = GetOptions::new()
        .here(std::env::current_dir()?)
        .from(Some(repo.clone()))
        .remote(Some(remote.clone()));
    let done: Vec<Result<(u64, u64), Error>> = std::thread::scope(|scope| {
        let (options, host, work) = (&options, &host, &work);
        let start = |number| {
            let folder = work.join(format!("job{number}"));
            scope.spawn(move || job(&folder, asset, options, host))
        };
        let jobs: Vec<_> = (0..JOBS).map(start).collect();
        let join = |job: std::thread::ScopedJoinHandle<'_, _>| job.join().expect("a job does not panic");
        jobs.into_iter().map(join).collect()
    });
    let done: Vec<(u64, u64)> = done.into_iter().collect::<Result<_, _>>()?;
    let files: Vec<u64> = done.iter().map(|(files, _)| *files).collect();
    let fetched: u64 = done.iter().map(|(_, fetched)| fetched).sum();
    writeln!(std::io::stdout(), "files: {files:?}; fetched: {fetched}")?;
    Ok(())
}
