//! Width: a workspace with more and more assets, and an asset with more and more frames.

use std::io;
use std::path::{Path, PathBuf};

use crate::growth::{Growth, Point};
use crate::studio::{Studio, frames, write_frames};

/// How many assets, or frames.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    assets: [u32; 3],
    frames: [u32; 3],
}

pub(crate) const FULL: Sizes = Sizes {
    assets: [30, 100, 300],
    frames: [2_000, 10_000, 50_000],
};
pub(crate) const SMALL: Sizes = Sizes {
    assets: [4, 8, 16],
    frames: [50, 100, 200],
};

/// Frames of each of many assets, and the bytes of a frame.
const FRAMES: usize = 3;
const FRAME: usize = 2_000;

/// What is measured over the assets of a workspace, with the exponent that is expected at most: 1 where each asset is looked at.
const OF_ASSETS: [(&str, f64); 8] = [
    ("new", 0.5),
    ("bump one", 0.5),
    ("add all, nothing new", 1.1),
    ("status", 1.1),
    ("install all, a warm cache", 1.1),
    ("pull all, a warm cache", 1.1),
    ("pull all, nothing new", 1.1),
    ("publish one", 0.5),
];

/// What is measured over the frames of an asset of which three changed.
const OF_FRAMES: [(&str, f64); 2] = [("update, 3 frames changed", 1.1), ("pull, 3 frames changed", 1.1)];

/// Measure both.
pub(crate) fn measure(studio: &Studio, place: &Path, sizes: &Sizes) -> io::Result<Vec<Growth>> {
    let growth = |(command, at_most): &(&'static str, f64), over| Growth {
        over,
        command,
        at_most: *at_most,
        points: Vec::new(),
    };
    let mut growths: Vec<Growth> = OF_ASSETS.iter().map(|c| growth(c, "assets")).collect();
    for size in sizes.assets {
        let folder = place.join(format!("assets{size}"));
        let wide = Wide::new(studio, &folder, size)?;
        for growth in &mut growths {
            growth.points.push(wide.point(growth.command)?);
        }
    }
    let mut of_frames: Vec<Growth> = OF_FRAMES.iter().map(|c| growth(c, "frames")).collect();
    for size in sizes.frames {
        let points = upgrade(studio, &place.join(format!("frames{size}")), size)?;
        for (growth, point) in of_frames.iter_mut().zip(points) {
            growth.points.push(point);
        }
    }
    growths.extend(of_frames);
    Ok(growths)
}

/// A workspace whose assets are all published, and the names it uses.
struct Wide<'a> {
    studio: &'a Studio,
    place: &'a Path,
    size: u32,
    workspace: PathBuf,
    names: Vec<String>,
    folders: Vec<String>,
}

impl<'a> Wide<'a> {
    fn new(studio: &'a Studio, place: &'a Path, size: u32) -> io::Result<Self> {
        let workspace = studio.workspace(place, "w", "cache")?;
        let mut wide = Self {
            studio,
            place,
            size,
            workspace,
            names: Vec::new(),
            folders: Vec::new(),
        };
        for asset in 0..size {
            let name = format!("A{asset}");
            studio.run(&wide.workspace, &["new", &name])?;
            let folder = frames(&wide.workspace, &format!("a{asset}"));
            write_frames(&folder, 0..FRAMES, FRAME, u64::from(asset))?;
            wide.folders.push(folder.display().to_string());
            wide.names.push(name);
        }
        studio.run(&wide.workspace, &with("add", &wide.folders))?;
        for name in &wide.names {
            studio.run(&wide.workspace, &["publish", name])?;
        }
        let consumer = studio.workspace(place, "first", "cache-consumers")?;
        studio.run(&consumer, &with("install", &wide.names))?;
        studio.run(&consumer, &["pull"])?;
        Ok(wide)
    }

    /// Another workspace on a cache that has everything.
    fn warm(&self, installed: bool) -> io::Result<PathBuf> {
        let consumer = self.studio.workspace(self.place, "next", "cache-consumers")?;
        if installed {
            self.studio.run(&consumer, &with("install", &self.names))?;
        }
        Ok(consumer)
    }

    fn point(&self, command: &str) -> io::Result<Point> {
        let (studio, size, here) = (self.studio, self.size, &self.workspace);
        match command {
            "new" => {
                let gone = || {
                    // A second asset of the same name is refused, so the one of before leaves.
                    let output = here.join("outputs/extra");
                    if output.exists() {
                        fs_err::remove_dir_all(output)?;
                        studio.run(here, &["install"])?;
                    }
                    Ok(here.clone())
                };
                studio.prepared(size, gone, &["new", "Extra"])
            }
            "bump one" => studio.repeated(size, here, &["bump", "A0", "minor"]),
            "add all, nothing new" => studio.repeated(size, here, &with("add", &self.folders)),
            "status" => studio.repeated(size, here, &["status"]),
            "install all, a warm cache" => {
                studio.prepared(size, || self.warm(false), &with("install", &self.names))
            }
            "pull all, a warm cache" => studio.prepared(size, || self.warm(true), &["pull"]),
            "pull all, nothing new" => {
                let consumer = self.place.join("first");
                studio.repeated(size, &consumer, &["pull"])
            }
            _ => {
                let bump = || {
                    studio.run(here, &["bump", "A1", "minor"])?;
                    Ok(here.clone())
                };
                studio.prepared(size, bump, &["publish", "A1"])
            }
        }
    }
}

/// A command with many arguments.
fn with<'b>(command: &'b str, arguments: &'b [String]) -> Vec<&'b str> {
    [command]
        .into_iter()
        .chain(arguments.iter().map(String::as_str))
        .collect()
}

/// An asset with so many frames, of which three change: what a consumer's `update` and `pull` cost.
fn upgrade(studio: &Studio, place: &Path, size: u32) -> io::Result<[Point; 2]> {
    let workspace = studio.workspace(place, "w", "cache")?;
    studio.run(&workspace, &["new", "Shot"])?;
    let folder = frames(&workspace, "shot");
    write_frames(&folder, 0..size as usize, FRAME, 1)?;
    let path = folder.display().to_string();
    studio.run(&workspace, &["add", &path])?;
    studio.run(&workspace, &["publish", "Shot"])?;
    let consumer = studio.workspace(place, "consumer", "cache-consumer")?;
    studio.run(&consumer, &["install", "Shot"])?;
    studio.run(&consumer, &["pull"])?;
    let (mut updates, mut pulls) = (Vec::new(), Vec::new());
    let mut calls = [None; 2];
    for round in 0..4 {
        write_frames(&folder, 0..3, FRAME, 100 + round)?;
        studio.run(&workspace, &["bump", "Shot", "minor"])?;
        studio.run(&workspace, &["publish", "Shot"])?;
        if round < 3 {
            updates.push(studio.sample(&consumer, &["update"])?);
            pulls.push(studio.sample(&consumer, &["pull"])?);
        } else {
            calls = [
                studio.calls(&consumer, &["update"])?,
                studio.calls(&consumer, &["pull"])?,
            ];
        }
    }
    let point = |samples, calls| Point { size, samples, calls };
    Ok([point(updates, calls[0]), point(pulls, calls[1])])
}
