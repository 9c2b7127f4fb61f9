//! Checks of scenes: USD, glTF and Alembic files are whole, and the files that they name are in the package or in an input.
//!
//! A path is looked up as it will be where the asset is installed: beside the other packages. So `../table/model.usd` in `kitchen/kitchen.usda` is a
//! file of `table`, which the asset has to require. Deliberately absent: resolvers of a studio's own, for which `allow` names what begins their addresses.

use std::collections::BTreeMap;
use std::path::PathBuf;

use backlot_core::relpath::seen_from;
use backlot_media::{SceneFacts, SceneReference, scene_format_of};

use super::contents::{Reading, here, note, read};
use super::{Params, Subject};
use crate::error::Result;
use crate::validate::files::CheckedFile;
use crate::validate::found::{CheckItem, Findings, NotRun};

/// The first tile of a texture in tiles, and the last one that is looked for.
const TILES: std::ops::RangeInclusive<u32> = 1001..=1100;

type Scene<'a> = (&'a CheckedFile, Reading<SceneFacts>);

fn scenes<'a>(subject: &Subject<'a>) -> Result<(Vec<Scene<'a>>, Findings), NotRun> {
    let is_scene = |file: &&CheckedFile| scene_format_of(std::path::Path::new(&file.path)).is_some();
    let (files, absent) = here(subject.files.iter().copied().filter(is_scene));
    let mut findings = Findings {
        skipped: absent,
        ..Findings::default()
    };
    if files.is_empty() && findings.skipped.is_empty() {
        findings.refused.push(CheckItem::of_all("there are no scenes"));
    }
    let paths: Vec<PathBuf> = files.iter().filter_map(|file| file.source.clone()).collect();
    subject.readings.hash(&paths)?;
    let mut read_scenes = Vec::new();
    for file in files {
        if let Some(scene) = read(subject, "scenes", file, backlot_media::read_scene)? {
            read_scenes.push((file, scene));
        }
    }
    Ok((read_scenes, findings))
}

/// Scenes open, and are right inside.
pub(super) fn valid(subject: &Subject<'_>) -> Result<Findings, NotRun> {
    let (scenes, mut findings) = scenes(subject)?;
    for (file, scene) in scenes {
        match scene {
            Ok(facts) => {
                let problems = facts.problems.into_iter();
                findings
                    .refused
                    .extend(problems.map(|problem| CheckItem::of(&file.path, problem)));
            }
            Err(problem) => note(&mut findings, file, &problem),
        }
    }
    Ok(findings)
}

/// Files that scenes name are there, for everybody.
pub(super) fn references(params: Params<'_>, subject: &Subject<'_>) -> Result<Findings, NotRun> {
    let allow = params.list("allow")?.unwrap_or_default();
    let (scenes, mut findings) = scenes(subject)?;
    let tree = Tree::of(subject)?;
    for (file, scene) in scenes {
        match scene {
            Ok(facts) => {
                for reference in &facts.references {
                    if allow.iter().any(|begin| reference.path.starts_with(begin)) {
                        continue;
                    }
                    if let Some(problem) = tree.problem(file, reference) {
                        let SceneReference { place, path, .. } = reference;
                        let message = format!("{place}: `{path}` {problem}");
                        findings.refused.push(CheckItem::of(&file.path, message));
                    }
                }
            }
            // That is for `scene.valid` to refuse.
            Err(problem) => findings.skipped.push(CheckItem::of(&file.path, problem.reason())),
        }
    }
    Ok(findings)
}

/// All that is installed together: the asset itself, and its inputs.
struct Tree<'a> {
    /// The asset's own files, by their path with the folder of the package, with their size where they are here.
    own: BTreeMap<String, Option<u64>>,
    modules: Vec<&'a str>,
    site_packages: Option<PathBuf>,
    /// Folders of packages that are outputs of the workspace.
    outputs: BTreeMap<String, PathBuf>,
}

/// A file that is named.
enum Presence {
    /// With its bytes, where they are known.
    There(Option<u64>),
    Absent,
}

impl<'a> Tree<'a> {
    fn of(subject: &Subject<'a>) -> Result<Self> {
        let opened = subject.opened;
        let own = subject.all.iter();
        let mut outputs = BTreeMap::new();
        for output in opened.outputs()? {
            for root in &output.project.module_roots {
                outputs.insert(root.target.to_string(), root.source.clone());
            }
        }
        let mut modules: Vec<&str> = subject.all.iter().map(|file| file.module.as_str()).collect();
        modules.dedup();
        Ok(Self {
            own: own
                .map(|file| (format!("{}/{}", file.module, file.path), file.size))
                .collect(),
            modules,
            site_packages: opened
                .environment()?
                .map(|environment| environment.site_packages()),
            outputs,
        })
    }

    /// What is wrong with a path that a scene names.
    fn problem(&self, scene: &CheckedFile, reference: &SceneReference) -> Option<String> {
        // `a.usdz[b.usd]` is a file in a package, and what begins with a backtick is computed.
        let path = reference
            .path
            .split_once('[')
            .map_or(reference.path.as_str(), |(path, _)| path);
        if path.starts_with('`') || path.starts_with("anon:") {
            return None;
        }
        let is_drive = path.as_bytes().get(1) == Some(&b':') && path.as_bytes()[0].is_ascii_alphabetic();
        if path.starts_with(['/', '\\']) || is_drive || path.starts_with("file:") {
            return Some("is an absolute path, which others do not have".to_owned());
        }
        if path.contains("://") {
            return Some("is a URL, not a file of the package or of an input".to_owned());
        }
        if path.contains('\\') {
            return Some("has `\\` between folders, which only Windows understands".to_owned());
        }
        let own = format!("{}/{}", scene.module, scene.path);
        let folder = own.rsplit_once('/').map_or("", |(folder, _)| folder);
        let Some(beside) = seen_from(folder, path) else {
            return Some("leaves the folder of packages".to_owned());
        };
        let mut found = self.find(&beside);
        let is_anchored = path.starts_with("./") || path.starts_with("../");
        if matches!(found, Presence::Absent) && !is_anchored {
            // A search path: the folder of packages.
            found = seen_from("", path).map_or(Presence::Absent, |path| self.find(&path));
        }
        match (found, reference.bytes) {
            (Presence::Absent, _) => Some(self.absent(&beside)),
            (Presence::There(Some(there)), Some(wanted)) if there < wanted => {
                Some(format!("has {there} bytes, fewer than {wanted}"))
            }
            _ => None,
        }
    }

    fn absent(&self, path: &str) -> String {
        let module = path.split('/').next().unwrap_or_default();
        if self.modules.contains(&module) {
            "is not in the package".to_owned()
        } else {
            format!("is not in the inputs: no `{path}` is installed")
        }
    }

    fn find(&self, path: &str) -> Presence {
        if let Some((before, behind)) = path.split_once("<UDIM>") {
            let tile = |tile| self.find_one(&format!("{before}{tile}{behind}"));
            let mut tiles = TILES.map(tile);
            return tiles
                .find(|found| matches!(found, Presence::There(_)))
                .map_or(Presence::Absent, |_| Presence::There(None));
        }
        self.find_one(path)
    }

    fn find_one(&self, path: &str) -> Presence {
        if let Some(size) = self.own.get(path) {
            return Presence::There(*size);
        }
        let (module, inside) = path.split_once('/').unwrap_or((path, ""));
        if self.modules.contains(&module) {
            return Presence::Absent;
        }
        let full = match self.outputs.get(module) {
            Some(folder) => folder.join(inside),
            None => match &self.site_packages {
                Some(folder) => folder.join(path),
                None => return Presence::Absent,
            },
        };
        if let Ok(found) = fs_err::metadata(&full) {
            return Presence::There(Some(found.len()));
        }
        // Tracked files of inputs need not be pulled.
        let is_tracked = full
            .ancestors()
            .take(path.matches('/').count() + 1)
            .any(|folder| {
                let mut pointer = folder.as_os_str().to_owned();
                pointer.push(".dvc");
                PathBuf::from(pointer).is_file()
            });
        if is_tracked {
            Presence::There(None)
        } else {
            Presence::Absent
        }
    }
}

#[cfg(test)]
mod tests {
    use backlot_core::relpath::seen_from;

    #[test]
    fn paths_are_seen_from_the_folder_of_their_scene() {
        let from = |path| seen_from("kitchen/usd", path);
        assert_eq!(from("a.usd").as_deref(), Some("kitchen/usd/a.usd"));
        assert_eq!(from("./../b/./c.usd").as_deref(), Some("kitchen/b/c.usd"));
        assert_eq!(from("../../table/t.usd").as_deref(), Some("table/t.usd"));
        assert_eq!(from("../../../t.usd"), None);
    }
}
