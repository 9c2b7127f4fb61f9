//! Plans: a studio of seven levels of assets with many releases, in a folder repo.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;

use backlot_benches::Random;
use fs_err as fs;

use crate::Bed;
use crate::release::Release;

const LEVELS: usize = 7;

/// Assets by number: which they require, all of the level above.
fn requirements(assets: usize) -> Vec<Vec<usize>> {
    let mut random = Random::new(1, 0);
    let a_level = (assets / LEVELS).max(1);
    let required = (0..assets).map(|at| {
        let level = (at / a_level).min(LEVELS - 1);
        let Some(above) = level.checked_sub(1) else {
            return Vec::new();
        };
        let place = (at - level * a_level) % a_level;
        let mut needs = BTreeSet::from([above * a_level + place]);
        if random.next().is_multiple_of(3) {
            let beside = usize::try_from(random.next() % 4).unwrap_or(0) + 1;
            needs.insert(above * a_level + (place + beside) % a_level);
        }
        needs.into_iter().collect()
    });
    required.collect()
}

/// All that an asset is built from, by number.
fn closure(requirements: &[Vec<usize>], asset: usize) -> BTreeSet<usize> {
    let (mut found, mut open) = (BTreeSet::new(), requirements[asset].clone());
    while let Some(next) = open.pop() {
        if found.insert(next) {
            open.extend(&requirements[next]);
        }
    }
    found
}

fn write_repo(repo: &Path, assets: usize, versions: usize) -> io::Result<()> {
    let names: Vec<String> = (0..assets).map(|at| format!("asset{at:05}")).collect();
    let requirements = requirements(assets);
    let packages = repo.join("packages");
    // Of each version, the digests of the assets so far.
    let mut digests: Vec<Vec<String>> = vec![Vec::new(); versions];
    for (at, name) in names.iter().enumerate() {
        fs::create_dir_all(packages.join(name))?;
        let requires: Vec<&str> = requirements[at]
            .iter()
            .map(|need| names[*need].as_str())
            .collect();
        let inputs = closure(&requirements, at);
        for (number, before) in digests.iter_mut().enumerate() {
            let version = format!("1.0.{number}");
            let inputs: Vec<(&str, &str, String)> = inputs
                .iter()
                .map(|input| (names[*input].as_str(), version.as_str(), before[*input].clone()))
                .collect();
            let release = Release {
                name,
                version: &version,
                requires: &requires,
                inputs: &inputs,
            };
            before.push(release.write(&packages)?);
        }
    }
    fs::write(
        repo.join("repo.json"),
        "{\"backlot-repo\": 1, \"id\": \"01m8q9v82j0vh60vw8p08brvvy\"}\n",
    )
}

pub(crate) fn measure(bed: &mut Bed, place: &Path, small: bool) -> io::Result<()> {
    let (assets, versions) = if small { (200, 5) } else { (10_000, 10) };
    fs::create_dir_all(place)?;
    write_repo(&place.join("repo"), assets, versions)?;
    let cache = place.join("cache");
    let workspace = place.join("w");
    bed.run(
        place,
        &[
            "init",
            "w",
            "--python",
            "none",
            "--cache",
            &cache.display().to_string(),
        ],
    )?;
    bed.run(&workspace, &["repo", "add", "review", "../repo"])?;
    bed.run(&workspace, &["repo", "reindex", "review"])?;
    // A sign of a folder counts only once the folder is older than the clock is coarse.
    std::thread::sleep(std::time::Duration::from_secs(3));
    let of = format!("plan, {assets} assets, {} releases", assets * versions);
    let dirty = bed.command(&workspace, &["dirty"]);
    let cold = bed.samples(&dirty, || {
        let index = cache.join("releases");
        if index.exists() {
            fs::remove_dir_all(index)?;
        }
        Ok(())
    })?;
    bed.note(
        &format!("{of}: all, nothing known of the repo"),
        cold,
        Some(("below 2 s", &|sample| sample.wall < 2.0)),
    );
    let warm = bed.samples(&dirty, || Ok(()))?;
    bed.note(
        &format!("{of}: all, index known"),
        warm,
        Some(("below 0.1 s, 256 MiB", &|sample| {
            sample.wall < 0.1 && sample.peak < 256 << 20
        })),
    );
    // A root of the first level moves: everything below it is built again.
    let packages = place.join("repo/packages");
    let moved = Release {
        name: "asset00000",
        version: "1.1.0",
        requires: &[],
        inputs: &[],
    };
    moved.write(&packages)?;
    bed.run(&workspace, &["repo", "reindex", "review"])?;
    std::thread::sleep(std::time::Duration::from_secs(3));
    bed.run(&workspace, &["dirty"])?;
    let rooted = bed.command(&workspace, &["dirty", "asset00000==1.1.0", "--json"]);
    let rooted = bed.samples(&rooted, || Ok(()))?;
    bed.note(&format!("{of}: what one release affects"), rooted, None);
    Ok(())
}
