//! The changes to record in an output: paths in its module folders that are added, or removed from tracked folders.
//!
//! Invariant: each path is recorded by the module folder that it lies in; of nested ones, the outermost. Deliberately absent: paths from
//! outside (`adding`, `to_remote`).

use std::path::{Path, PathBuf};

use backlot_dvc::{AddOptions, AddedOut, Destination};
use backlot_store::Remote;

use crate::error::Result;
use crate::project::output::Output;
use crate::workspace::Opened;

/// The changes to record in an output.
#[derive(Debug)]
pub(crate) struct Additions {
    pub(crate) output: Output,
    /// Paths to be added.
    pub(crate) targets: Vec<PathBuf>,
    /// Paths to be removed from tracked folders.
    pub(crate) removals: Vec<PathBuf>,
}

impl Opened {
    /// How this workspace tracks files.
    pub(crate) fn add_options<'a>(
        &'a self,
        dry_run: bool,
        to: Destination<'a>,
        elsewhere: Option<&'a Remote>,
    ) -> AddOptions<'a> {
        AddOptions {
            links: &self.settings().links.value,
            git_ignore: self.in_git(),
            dry_run,
            to,
            elsewhere,
            removals: &[],
        }
    }

    /// Add paths that lie in module folders of an output. What is unchanged and not here is looked for in `elsewhere`.
    pub(crate) fn add_in_place(
        &self,
        additions: &Additions,
        dry_run: bool,
        to: Destination<'_>,
        elsewhere: Option<&Remote>,
    ) -> Result<Vec<AddedOut>> {
        let (cache, stat) = (self.cache()?, self.stat_cache()?);
        let mut added = Vec::new();
        for part in by_module(additions) {
            let options = AddOptions {
                removals: &part.removals,
                ..self.add_options(dry_run, to, elsewhere)
            };
            let (root, targets) = (&part.module, &part.targets);
            added.extend(backlot_dvc::add(
                root,
                targets,
                &cache,
                &stat,
                &options,
                self.context(),
            )?);
        }
        if !dry_run {
            self.forget_brought_back(&added)?;
        }
        Ok(added)
    }

    /// Whether the workspace lies in a git repository, whose ignore files we then keep.
    pub(crate) fn in_git(&self) -> bool {
        self.root().ancestors().any(|folder| folder.join(".git").exists())
    }
}

/// The changes to record in an output, among those of others.
pub(crate) fn additions_of(all: &mut Vec<Additions>, output: Output) -> &mut Additions {
    let known = all.iter().position(|one| one.output.name == output.name);
    let at = known.unwrap_or_else(|| {
        all.push(Additions {
            output,
            targets: Vec::new(),
            removals: Vec::new(),
        });
        all.len() - 1
    });
    &mut all[at]
}

/// Additions to one module folder.
struct ModuleAdditions {
    module: PathBuf,
    targets: Vec<PathBuf>,
    removals: Vec<PathBuf>,
}

/// Additions by the module folders that they lie in; of nested ones, the outermost.
fn by_module(additions: &Additions) -> Vec<ModuleAdditions> {
    let output = &additions.output;
    let folders = output.module_folders();
    let module_of = |path: &Path| {
        let mut around: Vec<&Path> = folders.iter().copied().filter(|f| path.starts_with(f)).collect();
        around.sort_unstable_by_key(|folder| folder.components().count());
        let first = around.first().or(folders.first());
        first.map_or_else(|| output.project.root.clone(), |folder| folder.to_path_buf())
    };
    let mut parts = Vec::new();
    for path in &additions.targets {
        part_of(&mut parts, module_of(path)).targets.push(path.clone());
    }
    for path in &additions.removals {
        part_of(&mut parts, module_of(path)).removals.push(path.clone());
    }
    parts
}

fn part_of(parts: &mut Vec<ModuleAdditions>, module: PathBuf) -> &mut ModuleAdditions {
    let known = parts.iter().position(|part| part.module == module);
    let at = known.unwrap_or_else(|| {
        parts.push(ModuleAdditions {
            module,
            targets: Vec::new(),
            removals: Vec::new(),
        });
        parts.len() - 1
    });
    &mut parts[at]
}
