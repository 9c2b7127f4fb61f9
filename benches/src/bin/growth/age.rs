//! Age: a remote with more and more releases of the same assets.

use std::io;
use std::path::{Path, PathBuf};

use backlot_benches::tree::Inventory;
use serde::Serialize;

use crate::growth::{Growth, Point};
use crate::studio::{Studio, frames, write_frames};

/// How old, and when to measure.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    /// The releases at which all commands are measured; the last is the oldest.
    marks: [u32; 4],
    assets: usize,
    workspaces: usize,
}

pub(crate) const FULL: Sizes = Sizes {
    marks: [100, 500, 1_000, 1_500],
    assets: 50,
    workspaces: 4,
};
pub(crate) const SMALL: Sizes = Sizes {
    marks: [8, 16, 32, 64],
    assets: 4,
    workspaces: 2,
};

/// Frames of an asset, and their bytes; two of them change with each release.
const FRAMES: usize = 5;
const FRAME: usize = 64 << 10;

/// What lies on the remote at an age.
#[derive(Debug, Serialize)]
pub(crate) struct RemoteSize {
    releases: u32,
    bytes: u64,
    objects: u64,
    index_bytes: u64,
    index_segments: u64,
    recipe_segments: u64,
}

/// The commands that are measured, each with the exponent of its calls that is expected at most.
const COMMANDS: [(&str, f64); 10] = [
    ("publish", 0.1),
    ("push, nothing new", 0.1),
    ("status", 0.1),
    ("bump", 0.1),
    ("du of one", 0.1),
    ("install, a new machine", 0.1),
    ("pull, a new machine", 0.1),
    ("install, nothing new", 0.1),
    ("pull, nothing new", 0.1),
    ("outdated", 0.1),
];

struct Aging<'a> {
    studio: &'a Studio,
    place: &'a Path,
    sizes: &'a Sizes,
    workspaces: Vec<PathBuf>,
    /// Releases so far.
    releases: u32,
}

/// Grow a studio in a folder and measure at each mark.
pub(crate) fn measure(
    studio: &Studio,
    place: &Path,
    sizes: &Sizes,
) -> io::Result<(Vec<Growth>, Vec<RemoteSize>)> {
    let mut aging = Aging {
        studio,
        place,
        sizes,
        workspaces: Vec::new(),
        releases: 0,
    };
    aging.begin()?;
    let mut growths: Vec<Growth> = COMMANDS
        .iter()
        .map(|(command, at_most)| Growth {
            over: "age",
            command,
            at_most: *at_most,
            points: Vec::new(),
        })
        .collect();
    let mut remotes = Vec::new();
    for mark in sizes.marks {
        while aging.releases < mark {
            aging.change()?;
            aging.publish()?;
        }
        // What was said in the last two seconds is read again, whatever it is of.
        std::thread::sleep(std::time::Duration::from_secs(3));
        remotes.push(aging.remote_size()?);
        for growth in &mut growths {
            let point = aging.point(mark, growth.command)?;
            growth.points.push(point);
        }
    }
    Ok((growths, remotes))
}

impl Aging<'_> {
    fn begin(&mut self) -> io::Result<()> {
        for number in 0..self.sizes.workspaces {
            let workspace =
                self.studio
                    .workspace(self.place, &format!("w{number}"), &format!("cache{number}"))?;
            self.workspaces.push(workspace);
        }
        for asset in 0..self.sizes.assets {
            let workspace = self.workspace_of(asset).to_path_buf();
            self.studio.run(&workspace, &["new", &format!("A{asset}")])?;
            let folder = frames(&workspace, &format!("a{asset}"));
            write_frames(&folder, 0..FRAMES, FRAME, asset as u64)?;
            let folder = folder.display().to_string();
            self.studio.run(&workspace, &["add", &folder])?;
        }
        Ok(())
    }

    fn workspace_of(&self, asset: usize) -> &Path {
        &self.workspaces[asset % self.sizes.workspaces]
    }

    /// The asset whose turn it is.
    fn next(&self) -> usize {
        self.releases as usize % self.sizes.assets
    }

    /// Change two frames of the asset whose turn it is, and bump it. The first time it is left as it was added.
    fn change(&self) -> io::Result<()> {
        let asset = self.next();
        if (self.releases as usize) < self.sizes.assets {
            return Ok(());
        }
        let workspace = self.workspace_of(asset);
        let folder = frames(workspace, &format!("a{asset}"));
        write_frames(&folder, 0..2, FRAME, 1_000_000 + u64::from(self.releases))?;
        self.studio
            .run(workspace, &["bump", &format!("A{asset}"), "minor"])?;
        Ok(())
    }

    fn publish(&mut self) -> io::Result<()> {
        let asset = self.next();
        self.studio
            .run(self.workspace_of(asset), &["publish", &format!("A{asset}")])?;
        self.releases += 1;
        Ok(())
    }

    fn point(&mut self, size: u32, command: &str) -> io::Result<Point> {
        let (studio, place) = (self.studio, self.place);
        let first = self.workspaces[0].clone();
        let consumer = |commands: &[&[&str]]| -> io::Result<PathBuf> {
            let stranger = studio.stranger(place)?;
            for arguments in commands {
                studio.run(&stranger, arguments)?;
            }
            Ok(stranger)
        };
        let (install, pull): (&[&str], &[&str]) = (&["install", "A0"], &["pull"]);
        match command {
            "publish" => self.publishing(size),
            "push, nothing new" => studio.repeated(size, &first, &["push", "A0"]),
            "status" => studio.repeated(size, &first, &["status"]),
            "bump" => studio.repeated(size, &first, &["bump", "A0", "minor"]),
            "du of one" => {
                let shown = studio.run(&first, &["show", "A0", "--json"])?;
                let one = format!("A0=={}", version(&shown)?);
                studio.repeated(size, &first, &["du", &one])
            }
            "install, a new machine" => studio.prepared(size, || consumer(&[]), install),
            "pull, a new machine" => studio.prepared(size, || consumer(&[install]), pull),
            "install, nothing new" => studio.repeated(size, &consumer(&[install])?, install),
            "pull, nothing new" => studio.repeated(size, &consumer(&[install, pull])?, pull),
            _ => studio.repeated(size, &consumer(&[install])?, &["outdated"]),
        }
    }

    /// Three publishes that are sampled, and one whose calls are counted: each of the asset whose turn it is.
    fn publishing(&mut self, size: u32) -> io::Result<Point> {
        let mut samples = Vec::new();
        let mut calls = None;
        for round in 0..4 {
            self.change()?;
            let asset = self.next();
            let (workspace, name) = (self.workspace_of(asset), format!("A{asset}"));
            if round < 3 {
                samples.push(self.studio.sample(workspace, &["publish", &name])?);
            } else {
                calls = self.studio.calls(workspace, &["publish", &name])?;
            }
            self.releases += 1;
        }
        Ok(Point { size, samples, calls })
    }

    fn remote_size(&self) -> io::Result<RemoteSize> {
        let files = self.place.join("files");
        let of = |folder: &str| Inventory::of(&files.join("v1").join(folder));
        let (all, index) = (Inventory::of(&files)?, of("index")?);
        Ok(RemoteSize {
            releases: self.releases,
            bytes: all.bytes(),
            objects: all.files(),
            index_bytes: index.bytes(),
            index_segments: index.files(),
            recipe_segments: of("recipes")?.files(),
        })
    }
}

/// The version in what `show NAME --json` says.
fn version(shown: &str) -> io::Result<String> {
    let value: serde_json::Value = serde_json::from_str(shown)?;
    let version = value["releases"][0]["version"].as_str();
    version
        .map(ToOwned::to_owned)
        .ok_or_else(|| io::Error::other(format!("no version in {shown}")))
}

/// The table in Markdown.
pub(crate) fn to_markdown(remotes: &[RemoteSize]) -> String {
    if remotes.is_empty() {
        return String::new();
    }
    let mut text = String::from(
        "\n| releases | remote, MiB | objects | index, KiB | index segments | recipe segments |\n\
         |---:|---:|---:|---:|---:|---:|\n",
    );
    for remote in remotes {
        text.push_str(&format!(
            "| {} | {} | {} | {} | {} | {} |\n",
            remote.releases,
            remote.bytes >> 20,
            remote.objects,
            remote.index_bytes >> 10,
            remote.index_segments,
            remote.recipe_segments,
        ));
    }
    text
}
