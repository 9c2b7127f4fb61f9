//! Outputs of stages as tracked files: what `dvc.yaml` says is made, with the content that `dvc.lock` has for it.
//!
//! Invariants: nothing is run or written; an output that was never recorded has no content. Deliberately absent: whether the content is
//! that of the present inputs ([`crate::pipeline::judge`]).

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use backlot_core::{Context, RelPath, file};

use crate::error::Result;
use crate::pipeline::{
    ArgumentStyle, Folder, Graph, Lock, LockEntry, LockedPath, Output, PipelineError, Pipelines, Spot, Stage,
};
use crate::pointer::{Out, Pointer};
use crate::tracked::{Definitions, MadeBy, TrackedPointer};

/// All that is tracked in a folder and below, by pointers or as outputs of stages, sorted by path. The folder is in `project`, by which
/// messages call files; an output of a stage that is outside of the folder is an error.
pub fn tracked_files(project: &Path, folder: &Path, context: &Context) -> Result<Vec<TrackedPointer>> {
    let definitions = Definitions::find(&[folder.to_path_buf()], &[], context)?;
    let Some((pipelines, project)) = stages_of(&definitions, project, folder)? else {
        return Ok(definitions.pointers);
    };
    let made = outs_of(&pipelines, project, folder)?;
    let mut pointers = definitions.pointers;
    // What looks like a pointer in an output is data.
    pointers.retain(|pointer| !made.iter().any(|(place, _)| pointer.path.starts_with(place)));
    pointers.extend(made.into_iter().map(|(_, pointer)| pointer));
    pointers.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(pointers)
}

/// An error if the stages of a folder and below cannot be run, whatever there is beside them: what [`tracked_files`] and a [`Graph`] of them
/// alone refuse.
pub fn check_stages(project: &Path, folder: &Path, context: &Context) -> Result<()> {
    let definitions = Definitions::find(&[folder.to_path_buf()], &[], context)?;
    let Some((pipelines, project)) = stages_of(&definitions, project, folder)? else {
        return Ok(());
    };
    outs_of(&pipelines, project, folder)?;
    Graph::new(pipelines, Vec::new())?;
    Ok(())
}

/// The stages that were found in a folder, if there are any, and the folder by which messages call their files.
fn stages_of<'a>(
    definitions: &Definitions,
    project: &'a Path,
    folder: &'a Path,
) -> Result<Option<(Pipelines, &'a Path)>> {
    if definitions.pipelines.is_empty() {
        return Ok(None);
    }
    let project = if folder.starts_with(project) {
        project
    } else {
        folder
    };
    let inside = |path: &PathBuf| RelPath::from_path(path.strip_prefix(project).ok()?).ok();
    let files: Vec<RelPath> = definitions.pipelines.iter().filter_map(inside).collect();
    let pipelines = Pipelines::load(&Folder::new(project), &files, ArgumentStyle::default())?;
    Ok(Some((pipelines, project)))
}

/// The outputs of all stages, with their places.
fn outs_of(pipelines: &Pipelines, project: &Path, folder: &Path) -> Result<Vec<(PathBuf, TrackedPointer)>> {
    let mut locks: HashMap<RelPath, Lock> = HashMap::new();
    let mut made = Vec::new();
    for stage in &pipelines.stages {
        let path = stage.lock_path();
        let full = path.to_path(project);
        if !locks.contains_key(&path) {
            let lock = match file::read_if_exists(&full)? {
                Some(bytes) => Lock::parse_bytes(path.as_str(), &bytes)?,
                None => Lock::default(),
            };
            locks.insert(path.clone(), lock);
        }
        let entry = locks.get(&path).and_then(|lock| lock.get(&stage.name));
        for out in &stage.outs {
            let place = out.place.to_path(project);
            if !place.starts_with(folder) || place == folder {
                return Err(outside(stage, out).into());
            }
            let made_by = MadeBy {
                lock: full.clone(),
                stage: stage.name.clone(),
            };
            let pointer = TrackedPointer::made(&place, out_of(out, entry), made_by);
            made.push((place, pointer));
        }
    }
    Ok(made)
}

fn outside(stage: &Stage, out: &Output) -> PipelineError {
    PipelineError::HostileOutput {
        spot: Spot::new(&stage.file, stage.line),
        stage: stage.name.clone(),
        path: out.path.clone(),
        reason: "is outside the asset's package",
    }
}

fn out_of(out: &Output, entry: Option<&LockEntry>) -> Out {
    let name = RelPath::parse(out.place.file_name()).expect("a part of a path");
    let locked = entry.and_then(|entry| entry.out(&out.path));
    Out {
        cache: out.cache,
        persist: out.persist,
        push: out.push,
        remote: out.remote.clone(),
        ..with_content(name, locked)
    }
}

fn with_content(name: RelPath, locked: Option<&LockedPath>) -> Out {
    let mut out = Out::new(name);
    if let Some(locked) = locked {
        out.md5 = locked.id;
        out.size = locked.size;
        out.nfiles = locked.nfiles;
        out.isexec = locked.isexec;
    }
    out
}

/// The content that a lock names, wherever it may be: for releases whose builder does not say more of it. It counts as not pushed, since the
/// lock does not tell.
pub fn locked_content(file: &str, bytes: &[u8]) -> Result<Vec<Pointer>> {
    let lock = Lock::parse_bytes(file, bytes)?;
    let entries = lock.names().filter_map(|name| lock.get(name));
    let mut found = Vec::new();
    for (at, locked) in entries.flat_map(|entry| &entry.outs).enumerate() {
        let name = RelPath::parse(&format!("out{at}")).expect("a plain name");
        found.push(Pointer::of(Out {
            push: false,
            ..with_content(name, Some(locked))
        }));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use backlot_core::{Context, Diagnostic as _};
    use fs_err as fs;

    use super::{locked_content, tracked_files};

    const PIPELINE: &str = "stages:\n  movie:\n    wdir: work\n    cmd: make\n    deps: [../frames]\n    outs:\n    - ../movie.mov\n    - stats.json:\n        cache: false\n";
    const LOCK: &str = "schema: '2.0'\nstages:\n  movie:\n    cmd: make\n    outs:\n    - path: ../movie.mov\n      hash: md5\n      md5: d41d8cd98f00b204e9800998ecf8427e\n      size: 7\n      isexec: true\n";

    fn asset(pipeline: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        let module = folder.path().join("outputs/shot/src/shot");
        fs::create_dir_all(module.join("work")).expect("made");
        fs::write(module.join("dvc.yaml"), pipeline).expect("written");
        folder
    }

    #[test]
    fn an_output_of_a_stage_is_where_its_working_folder_says_with_the_content_of_the_lock() {
        let folder = asset(PIPELINE);
        let module = folder.path().join("outputs/shot/src/shot");
        let found = || tracked_files(folder.path(), &module, &Context::default()).expect("read");
        let outs = |all: &[crate::TrackedPointer]| -> Vec<(std::path::PathBuf, crate::Out)> {
            let outs = all.iter().flat_map(crate::TrackedPointer::located_outs);
            outs.map(|(place, out)| (place, out.clone())).collect()
        };
        let before = outs(&found());
        assert_eq!(before[0].0, module.join("movie.mov"));
        assert!(before.iter().all(|(_, out)| out.id().is_none()));
        fs::write(module.join("dvc.lock"), LOCK).expect("written");
        let all = found();
        let after = outs(&all);
        assert_eq!(after[0].1.size, Some(7));
        assert!(after[0].1.isexec && after[0].1.cache && after[0].1.id().is_some());
        assert_eq!(after[1].0, module.join("work/stats.json"));
        assert!(!after[1].1.cache && after[1].1.id().is_none());
        assert_eq!(all[0].file(), module.join("dvc.lock"));
        let stages: Vec<_> = all
            .iter()
            .map(|one| one.made_by.as_ref().expect("a stage").stage.as_str())
            .collect();
        assert_eq!(stages, ["movie", "movie"]);
    }

    #[test]
    fn an_output_outside_of_the_folder_is_refused_by_name() {
        let folder = asset("stages:\n  a:\n    cmd: x\n    outs: [../../../other/src/other/f]\n");
        let module = folder.path().join("outputs/shot/src/shot");
        let error = tracked_files(folder.path(), &module, &Context::default()).expect_err("refused");
        assert_eq!(error.code(), "pipeline::hostile_output");
        let shown = error.to_string();
        assert!(shown.contains("outputs/shot/src/shot/dvc.yaml"), "{shown}");
    }

    #[test]
    fn content_that_only_a_lock_names_is_known() {
        let found = locked_content("dvc.lock", LOCK.as_bytes()).expect("read");
        assert_eq!(found.len(), 1);
        assert!(found[0].outs[0].id().is_some() && !found[0].outs[0].push);
        assert!(locked_content("dvc.lock", b"stages: [").is_err());
    }
}
