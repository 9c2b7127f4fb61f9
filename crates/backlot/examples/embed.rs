//! Backlot inside another program: make an asset of a folder of frames, publish it, install it elsewhere, read it back.
//!
//! `cargo run -p backlot --example embed -- FRAMES_FOLDER WORK_FOLDER`

use std::path::PathBuf;
use std::sync::Arc;

use backlot::{
    AddFiles, AddRemote, AddRepo, Context, Event, EventKind, Host, InitOptions, InstallRequest, NewAsset,
    Observer, PublishOptions, PullOptions, Workspace,
};

/// Prints warnings; a real program would draw progress from the other events.
#[derive(Debug)]
struct Warnings;

impl Observer for Warnings {
    fn event(&self, event: &Event) {
        if let EventKind::Warned(warning) = &event.kind {
            let mut stderr = std::io::stderr();
            drop(std::io::Write::write_fmt(
                &mut stderr,
                format_args!("{}: {}\n", warning.code, warning.message),
            ));
        }
    }
}

fn workspace(folder: &str, host: &Host, context: &Context) -> Result<Workspace, backlot::Error> {
    // A plain tree: no Python on this machine is needed.
    let options = InitOptions::new().python(Some("none".to_owned()));
    Workspace::init(folder.as_ref(), &options, host, context)?;
    let workspace = Workspace::open(folder.as_ref(), host)?;
    workspace.add_repo("review", "../review", &AddRepo::default(), context)?;
    workspace.add_remote("files", "../files", &AddRemote::new().as_default(true), context)?;
    Ok(workspace)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(frames), Some(work)) = (arguments.next(), arguments.next()) else {
        return Err("usage: embed FRAMES_FOLDER WORK_FOLDER".into());
    };
    let host = Host::new(format!("{work}/cache"));
    let context = Context::default().with_observer(Arc::new(Warnings));

    let artist = workspace(&format!("{work}/artist"), &host, &context)?;
    artist.new_asset(
        "Turntable",
        &NewAsset::new().asset_type("Render".to_owned()),
        &context,
    )?;
    let add = AddFiles::new()
        .asset(Some("Turntable".to_owned()))
        .rename(Some("frames".to_owned()));
    artist.add(&[PathBuf::from(&frames)], &add, &context)?;
    let published = artist.publish("Turntable", &PublishOptions::default(), &context)?;

    let reviewer = workspace(&format!("{work}/reviewer"), &host, &context)?;
    reviewer.install(&["Turntable".to_owned()], &InstallRequest::default(), &context)?;
    let pulled = reviewer.pull(&[], &PullOptions::new(), &context)?;

    let files: u64 = pulled.assets.iter().map(|asset| asset.files).sum();
    let mut stdout = std::io::stdout();
    let line = format_args!("{} {}: {files} files\n", published.asset, published.version);
    std::io::Write::write_fmt(&mut stdout, line)?;
    Ok(())
}
