//! A loader: reads one frame of a stored folder, or a part of it, and fetches little more than that.
//!
//! `frame SNAPSHOT PATH URL` writes the file to standard output, `frame SNAPSHOT PATH URL START LENGTH` that many bytes from START on; standard
//! error says how many bytes were read, and how many fetched for it. What `dedup` stores, this reads.
//!
//! `cargo run --release -p backlot-store --example frame -- 4c1f….dir sh010.0042.exr s3://assets/renders 0 4096`

mod remote;

use std::error::Error;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};

use backlot_store::{Context, RelPath, Store};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (snapshot, path, url, start, length) = match arguments.as_slice() {
        [snapshot, path, url] => (snapshot, path, url, 0, u64::MAX),
        [snapshot, path, url, start, length] => (snapshot, path, url, start.parse()?, length.parse()?),
        _ => return Err("usage: frame SNAPSHOT PATH URL [START LENGTH]".into()),
    };
    let context = Context::default();
    let store = Store::open(None, remote::remote(url, &context)?)?;
    let snapshot = store.snapshot(&snapshot.parse()?, &context)?;
    let file = snapshot
        .find(&RelPath::parse(path)?)
        .ok_or_else(|| format!("the snapshot has no file `{path}`"))?;

    // A file like any other: a reader of EXR headers and scanlines can be given it as it is.
    let mut reader = store.reader(file, &context)?;
    reader.seek(SeekFrom::Start(start))?;
    let read = std::io::copy(&mut (&mut reader).take(length), &mut std::io::stdout())?;
    writeln!(
        std::io::stderr(),
        "read {read} of {} bytes, fetched {}",
        reader.size(),
        reader.fetched()
    )?;
    Ok(())
}
