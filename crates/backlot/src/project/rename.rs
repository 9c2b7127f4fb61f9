//! Another name for an output: its folders, its metadata, and what else in the workspace requires it.
//!
//! Invariants: tracked files are moved with their folder and never copied or read; nothing of another asset is in the way of the new name; a rename that
//! was stopped is finished by the next change of the workspace (`workspace/rename_journal.rs`). Releases of the old name stay as they are. Deliberately
//! absent: code that imports the module, which is only told.

use std::collections::BTreeSet;
use std::path::Path;

use backlot_core::{RelPath, file};
use backlot_pep::{AssetName, PackageName};
use backlot_wheel::ModuleRoot;
use fs_err as fs;
use serde::{Deserialize, Serialize};

use crate::environment::lockfile::Lock;
use crate::error::{EditError, Error, Result, WorkspaceError};
use crate::project::base::BaseRelease;
use crate::project::inputs::InputChange;
use crate::project::output::Output;
use crate::project::renamed_text::Renaming;
use crate::project::standard_library;
use crate::workspace::Opened;
use crate::workspace::rename_journal::RenameJournal;

/// The largest text in which the old name is looked for.
const LARGEST_TEXT: u64 = 1 << 20;
/// The files in which it is looked for.
const TEXTS: [&str; 9] = ["py", "toml", "yaml", "yml", "json", "md", "txt", "usda", "sh"];
/// How many of them are named.
const MOST: usize = 50;

/// The report of a rename.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RenameReport {
    /// The old name.
    pub from: String,
    /// The new one.
    pub to: String,
    /// The package that it was published as.
    pub from_package: PackageName,
    /// The package that it will be published as.
    pub package: PackageName,
    /// Its project folder, relative to the workspace.
    pub path: String,
    /// Folders that moved, relative to the workspace.
    pub moved: Vec<MovedFolder>,
    /// Requirements that name it now.
    pub requirements: Vec<RenamedRequirement>,
    /// Files that still have the old name somewhere in their text, relative to the workspace: code, stages, documentation.
    pub mentions: Vec<String>,
    /// Whether nothing was changed.
    pub dry_run: bool,
}

/// A folder that has another name.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct MovedFolder {
    /// Where it was.
    pub from: String,
    /// Where it is.
    pub to: String,
}

/// A requirement that follows a rename.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RenamedRequirement {
    /// The asset with the requirement; `None` for one of the workspace.
    pub asset: Option<String>,
    /// The group that it is in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// The requirement, and what it was.
    pub change: InputChange,
}

/// A rename that is being planned.
struct Plan<'w> {
    opened: &'w Opened,
    renaming: Renaming,
    journal: RenameJournal,
    report: RenameReport,
    /// The folder of the project as it is now, and as it will be.
    folders: (RelPath, RelPath),
    /// The module as it is now, and as it will be, both in the folder of now.
    modules: (RelPath, RelPath),
}

impl Opened {
    pub(crate) fn rename(&mut self, old: &str, new: &str, dry_run: bool) -> Result<RenameReport> {
        let new = AssetName::parse(new)?;
        if standard_library::has(new.module()) {
            return Err(WorkspaceError::StandardLibrary {
                name: new.to_string(),
                module: new.module().to_owned(),
            }
            .into());
        }
        self.change(dry_run, |workspace| {
            let output = workspace.output_to_change(old)?;
            if workspace.has_outputs_aside() {
                return Err(EditError::StagesInterrupted { asset: output.name }.into());
            }
            let (journal, report) = Plan::of(workspace, &output, new, dry_run)?.complete(&output)?;
            if !dry_run {
                journal.carry_out(workspace.root())?;
                workspace.refresh()?;
                workspace.sync_editables()?;
            }
            Ok(report)
        })
    }

    /// An error if something that is not this output has a name.
    fn check_name_free(&self, output: &Output, name: &AssetName) -> Result<()> {
        let package = name.package();
        if *package == output.package() {
            return Ok(());
        }
        let in_use = |by: String| {
            Error::from(EditError::NameInUse {
                name: name.to_string(),
                by,
            })
        };
        let (outputs, unreadable) = self.read_outputs()?;
        if let Some(other) = outputs.iter().find(|other| other.package() == *package) {
            return Err(in_use(format!(
                "the output in `{}`",
                self.display_path(&other.project.root)
            )));
        }
        self.warn_unreadable(&unreadable);
        let lock = Lock::load(self.root())?;
        if let Some(input) = lock.as_ref().and_then(|lock| lock.package(package)) {
            return Err(in_use(format!("the input {} {}", input.name, input.version)));
        }
        // Back to the name of the release that it was edited from is fine.
        if BaseRelease::package_of(output)?.as_ref() == Some(package) {
            return Ok(());
        }
        for known in self.known_releases(package, &mut BTreeSet::new()) {
            if let Some(release) = known.listing.files().next() {
                return Err(in_use(format!(
                    "{} {} in the repo `{}`",
                    package, release.version, known.repo
                )));
            }
        }
        Ok(())
    }
}

impl<'w> Plan<'w> {
    fn of(opened: &'w Opened, output: &Output, new: AssetName, dry_run: bool) -> Result<Self> {
        opened.check_name_free(output, &new)?;
        let project = &output.project;
        let no_module = || EditError::NoModuleOfName {
            asset: output.name.clone(),
        };
        let is_own = |root: &&ModuleRoot| {
            let dotted = dotted(&root.target);
            PackageName::parse(&dotted).is_ok_and(|package| package == output.package())
        };
        let module = project.module_roots.iter().find(is_own).ok_or_else(no_module)?;
        let old_module = dotted(&module.target);
        let relative = |path: &Path| {
            let inside = path.strip_prefix(opened.root()).unwrap_or(path);
            RelPath::from_path(inside).map_err(|_| Error::from(no_module()))
        };
        let folder = relative(&project.root)?;
        let source = relative(&module.source)?;
        let nested = |module: &str| module.replace('.', "/");
        let ending = if source.as_str().ends_with(".py") {
            ".py"
        } else {
            ""
        };
        let base = source
            .as_str()
            .strip_suffix(&format!("{}{ending}", nested(&old_module)))
            .ok_or_else(no_module)?;
        let join = |text: String| RelPath::parse(&text).map_err(|_| Error::from(no_module()));
        let moved = join(format!("{base}{}{ending}", nested(new.module())))?;
        let new_folder = if folder.file_name() == old_module {
            join(format!("outputs/{}", new.module()))?
        } else {
            folder.clone()
        };
        for (from, to) in [(&source, &moved), (&folder, &new_folder)] {
            if from != to && fs::symlink_metadata(to.to_path(opened.root())).is_ok() {
                return Err(EditError::NameInUse {
                    name: new.to_string(),
                    by: format!("`{to}`"),
                }
                .into());
            }
        }
        let report = RenameReport {
            from: output.name.clone(),
            to: new.to_string(),
            from_package: output.package(),
            package: new.package().clone(),
            path: new_folder.to_string(),
            moved: Vec::new(),
            requirements: Vec::new(),
            mentions: Vec::new(),
            dry_run,
        };
        Ok(Self {
            opened,
            journal: RenameJournal::new(report.from.clone(), report.to.clone()),
            report,
            renaming: Renaming {
                old_name: output.name.clone(),
                old_package: output.package(),
                old_module,
                new,
            },
            folders: (folder, new_folder),
            modules: (source, moved),
        })
    }

    fn complete(mut self, output: &Output) -> Result<(RenameJournal, RenameReport)> {
        for (from, to) in [&self.modules, &self.folders] {
            if from != to {
                self.journal.moves.push((from.clone(), to.clone()));
            }
        }
        let (from, to) = &self.folders;
        if from != to {
            self.report.moved.push(moved(from, to));
        }
        let own = self.own_files(output)?;
        self.journal.files.extend(own);
        self.others(output)?;
        self.workspace();
        self.mentions()?;
        Ok((self.journal, self.report))
    }

    /// Where a path of now is in the end.
    fn place_of(&self, path: &RelPath) -> RelPath {
        let mut text = path.as_str().to_owned();
        for (from, to) in [&self.modules, &self.folders] {
            if let Some(rest) = text.strip_prefix(from.as_str())
                && (rest.is_empty() || rest.starts_with('/'))
            {
                text = format!("{to}{rest}");
            }
        }
        RelPath::parse(&text).unwrap_or_else(|_| path.clone())
    }

    /// The new texts of the asset's own files, where they are in the end.
    fn own_files(&self, output: &Output) -> Result<Vec<(RelPath, String)>> {
        let root = &output.project.root;
        let mut files = Vec::new();
        let mut take = |path: &Path, edit: &dyn Fn(&str) -> Result<Option<String>>| -> Result<()> {
            let Some(bytes) = file::read_if_exists(path)? else {
                return Ok(());
            };
            let Ok(text) = String::from_utf8(bytes) else {
                return Ok(());
            };
            if let Some(new) = edit(&text)?.filter(|new| *new != text) {
                let inside = path.strip_prefix(self.opened.root()).unwrap_or(path);
                if let Ok(path) = RelPath::from_path(inside) {
                    files.push((self.place_of(&path), new));
                }
            }
            Ok(())
        };
        let bad = |path: &Path, error: &toml_edit::TomlError| {
            Error::from(WorkspaceError::BadConfig {
                path: path.to_path_buf(),
                reason: error.to_string(),
            })
        };
        let project = root.join("pyproject.toml");
        take(&project, &|text| {
            let new = self.renaming.project(text).map_err(|e| bad(&project, &e))?;
            Ok(Some(new))
        })?;
        for folder in output.module_folders() {
            let path = folder.join("asset.toml");
            take(&path, &|text| {
                Ok(Some(self.renaming.asset(text).map_err(|e| bad(&path, &e))?))
            })?;
            take(&folder.join("__init__.py"), &|text| {
                Ok(self.renaming.first_line(text))
            })?;
        }
        take(&root.join("README.md"), &|text| {
            Ok(self.renaming.first_line(text))
        })?;
        Ok(files)
    }

    /// The requirements of the other outputs.
    fn others(&mut self, output: &Output) -> Result<()> {
        let (outputs, _) = self.opened.read_outputs()?;
        let of_root =
            |path: &Path| RelPath::from_path(path.strip_prefix(self.opened.root()).unwrap_or(path)).ok();
        for other in outputs
            .iter()
            .filter(|other| other.project.root != output.project.root)
        {
            let path = other.project.root.join("pyproject.toml");
            let text = fs::read_to_string(&path)?;
            let bad = |error: toml_edit::TomlError| WorkspaceError::BadConfig {
                path: path.clone(),
                reason: error.to_string(),
            };
            let Some((text, changes)) = self.renaming.project_of_other(&text).map_err(bad)? else {
                continue;
            };
            other.check_inside()?;
            self.journal.files.extend(of_root(&path).map(|path| (path, text)));
            for folder in other.module_folders() {
                let path = folder.join("asset.toml");
                if let Some(bytes) = file::read_if_exists(&path)? {
                    let text = self.renaming.asset_of_other(&String::from_utf8_lossy(&bytes));
                    let text = text.map_err(bad)?;
                    self.journal.files.extend(of_root(&path).map(|path| (path, text)));
                }
            }
            self.report
                .requirements
                .extend(changes.into_iter().map(|one| RenamedRequirement {
                    asset: Some(other.name.clone()),
                    group: one.group,
                    change: one.change,
                }));
        }
        Ok(())
    }

    /// What the workspace asks for by the old name.
    fn workspace(&mut self) {
        let mut config = self.opened.config().clone();
        let mut inputs = config.inputs.clone();
        for input in &mut inputs {
            if let Some(new) = self.renaming.requirement(input.text()) {
                self.report.requirements.push(RenamedRequirement {
                    asset: None,
                    group: None,
                    change: InputChange {
                        requirement: new.to_string(),
                        kind: new.kind(),
                        replaced: Some(input.text().to_owned()),
                    },
                });
                *input = new;
            }
        }
        if inputs != config.inputs {
            config.set_inputs(inputs);
            let path = RelPath::parse("backlot.toml").expect("a plain name");
            self.journal.files.push((path, config.text()));
        }
    }

    /// Texts of outputs that name the asset when all else is done.
    fn mentions(&mut self) -> Result<()> {
        let mut pending = vec![self.opened.outputs_dir()];
        while let Some(folder) = pending.pop() {
            for entry in fs::read_dir(&folder)? {
                let entry = entry?;
                let (path, kind) = (entry.path(), entry.file_type()?);
                let name = entry.file_name().to_string_lossy().into_owned();
                if name.starts_with('.') {
                    continue;
                }
                if kind.is_dir() {
                    // What is tracked may be many files, and none that people edit by hand.
                    if !folder.join(format!("{name}.dvc")).exists() {
                        pending.push(path);
                    }
                    continue;
                }
                let ending = path.extension().and_then(|ending| ending.to_str());
                let is_text = ending.is_some_and(|ending| TEXTS.contains(&ending));
                if !is_text || !kind.is_file() || entry.metadata()?.len() > LARGEST_TEXT {
                    continue;
                }
                let inside = path.strip_prefix(self.opened.root()).unwrap_or(&path);
                let Ok(inside) = RelPath::from_path(inside) else {
                    continue;
                };
                let place = self.place_of(&inside);
                let edited = self.journal.files.iter().find(|(path, _)| *path == place);
                let text = match edited {
                    Some((_, text)) => text.clone(),
                    None => String::from_utf8_lossy(&fs::read(&path)?).into_owned(),
                };
                if self.renaming.is_named_in(&text) {
                    self.report.mentions.push(place.to_string());
                }
            }
        }
        self.report.mentions.sort();
        self.report.mentions.truncate(MOST);
        Ok(())
    }
}

fn moved(from: &RelPath, to: &RelPath) -> MovedFolder {
    MovedFolder {
        from: from.to_string(),
        to: to.to_string(),
    }
}

/// `lib/chair` or `chair.py` as Python names it.
fn dotted(target: &RelPath) -> String {
    let text = target.as_str();
    text.strip_suffix(".py").unwrap_or(text).replace('/', ".")
}
