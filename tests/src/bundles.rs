//! Bundles of two assets with frames, machines without Backlot, and another site.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use fs_err as fs;
use serde_json::Value;

use crate::{Run, Studio, run_command, tool};

/// A workspace `ws` with the releases `Table` 0.1.0, and `Shot` 0.1.0 that needs it, each with frames.
pub fn shots() -> Studio {
    let studio = Studio::new();
    studio.asset("Table", 3, 5000);
    studio.ws(&["publish", "Table"]).ok();
    studio.asset("Shot", 5, 20_000);
    studio.ws(&["input", "add", "Shot", "Table>=0.1"]).ok();
    studio.ws(&["publish", "Shot"]).ok();
    studio
}

/// What Shot and Table of [`shots`] say of themselves when they are run.
pub const LOOK: &str = "import os, pathlib, shot, table
for module in (shot, table):
    frames = pathlib.Path(module.__file__).parent / 'frames'
    print(module.__name__, sum(len(f.read_bytes()) for f in sorted(frames.iterdir())))
print(os.path.samefile(os.environ['BACKLOT_ASSET_SHOT'], pathlib.Path(shot.__file__).parent))";
/// What [`LOOK`] prints where all is well.
pub const SEEN: &str = "shot 100000\ntable 15000\nTrue\n";

/// Bundle Shot; the report.
pub fn bundle(studio: &Studio, output: &str) -> Value {
    studio
        .ws(&["bundle", "Shot==0.1.0", "-o", output, "--json"])
        .ok()
        .json()
}

/// A command of a machine that has a Python, a shell, and neither Backlot nor anything of the studio in its environment.
pub fn elsewhere(program: &str) -> Command {
    let mut command = Command::new(program);
    let python = tool("python");
    let python = python.parent().expect("a folder").display();
    command
        .env_clear()
        .env("PATH", format!("{python}:/usr/bin:/bin"))
        .current_dir("/");
    command
}

/// Unpack an archive as `tar` does.
pub fn unpack(archive: &Path, folder: &Path) {
    let file = zstd::Decoder::new(fs::File::open(archive).expect("opened")).expect("zstd");
    tar::Archive::new(file).unpack(folder).expect("unpacked");
}

/// Run a command in a bundle, elsewhere.
pub fn activate(bundle: &Path, arguments: &[&str]) -> Run {
    run_command(elsewhere("sh").arg(bundle.join("activate")).args(arguments))
}

/// Lose everything a bundle was made of.
pub fn lose(studio: &Studio) {
    for folder in ["ws", "repos", "remote", "cache"] {
        fs::remove_dir_all(studio.path(folder)).expect("removed");
    }
}

/// A workspace `name` of another site, with its own cache, repo `site` and remote `far`, that knows nothing of the first.
pub fn other_site(studio: &Studio, name: &str) -> impl Fn(&[&str]) -> Run {
    let (root, cache) = (studio.root().to_path_buf(), studio.path(&format!("cache-{name}")));
    let (name, site) = (name.to_owned(), name.to_owned());
    let run = move |arguments: &[&str]| {
        let mut command = Command::new(crate::binary());
        command
            .args(arguments)
            .current_dir(&root)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").expect("a PATH"))
            .env("HOME", root.join("home of ben"))
            .env("BACKLOT_WORKSPACE", &name)
            .env("BACKLOT_CACHE_DIR", &cache)
            .env("BACKLOT_AUTHOR", "ben");
        run_command(&mut command)
    };
    run(&["init", &site]).ok();
    run
}

/// The frames of Shot and Table in the inputs of a workspace.
pub fn frames(studio: &Studio, workspace: &str) -> BTreeMap<String, Vec<u8>> {
    let files = studio.snapshot(&format!("{workspace}/inputs"));
    let frames = files.into_iter().filter(|(path, _)| path.ends_with(".exr"));
    frames
        .map(|(path, bytes)| {
            let (_, inside) = path.split_once("site-packages/").expect("installed");
            (inside.to_owned(), bytes)
        })
        .collect()
}
