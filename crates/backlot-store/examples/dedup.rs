//! Folders in a remote, with each piece of content stored once: `backlot-store` alone, without workspaces, releases or DVC.
//!
//! `dedup FOLDER... URL` stores folders, and prints for each its snapshot, its files, their bytes, and the bytes that were written for it.
//! `dedup pull SNAPSHOT FOLDER URL` brings one back.
//!
//! `cargo run --release -p backlot-store --example dedup -- renders/v1 renders/v2 s3://assets/renders`

mod remote;

use std::error::Error;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;

use backlot_store::{Context, Event, EventKind, Observer, Store};

/// Prints warnings; a real program would draw progress from the other events.
#[derive(Debug)]
struct Warnings;

impl Observer for Warnings {
    fn event(&self, event: &Event) {
        if let EventKind::Warned(warning) = &event.kind {
            writeln!(std::io::stderr(), "{}: {}", warning.code, warning.message).ok();
        }
    }
}

fn push(folders: &[String], store: &Store, context: &Context) -> Result<(), Box<dyn Error>> {
    for folder in folders {
        let (snapshot, report) = store.push_folder(Path::new(folder), context)?;
        writeln!(
            std::io::stdout(),
            "{} {folder}: {} files, {} bytes, {} stored",
            snapshot.id(),
            snapshot.files().len(),
            snapshot.bytes(),
            report.sent
        )?;
    }
    Ok(())
}

fn pull(snapshot: &str, folder: &str, store: &Store, context: &Context) -> Result<(), Box<dyn Error>> {
    let snapshot = store.snapshot(&snapshot.parse()?, context)?;
    let report = store.pull(&snapshot, Path::new(folder), context)?;
    writeln!(
        std::io::stdout(),
        "{} files placed, {} unchanged, {} bytes fetched",
        report.checkout.placed,
        report.checkout.unchanged,
        report.transfer.bytes
    )?;
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some((url, rest)) = arguments.split_last().filter(|(_, rest)| !rest.is_empty()) else {
        return Err("usage: dedup FOLDER... URL, or dedup pull SNAPSHOT FOLDER URL".into());
    };
    let context = Context::default().with_observer(Arc::new(Warnings));
    // Without a cache: folders are read once, and nothing is kept here.
    let store = Store::open(None, remote::remote(url, &context)?)?;
    match rest {
        [verb, snapshot, folder] if verb == "pull" => pull(snapshot, folder, &store, &context),
        folders => push(folders, &store, &context),
    }
}
