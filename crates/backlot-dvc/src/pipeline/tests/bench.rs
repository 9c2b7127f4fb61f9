//! A small `repro` over the functions of this module, to compare their verdicts and locks with DVC's: it runs commands one
//! after the other, with a cache and a run cache in DVC's layout below the project.
//!
//! Only for tests: outputs are removed before a command runs, as DVC does and Backlot must not.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use backlot_core::RelPath;
use backlot_store::{ObjectId, digest_bytes};
use fs_err as fs;

use crate::manifest::{Manifest, ManifestEntry};
use crate::pipeline::{
    Action, ArgumentStyle, Change, Content, Folder, Graph, Judging, Lock, LockEntry, Output, OutputKind,
    PipelineError, Pipelines, Place, Present, ProjectFiles as _, Reach, Result, Selection, Stage, Value,
    action, entry_of, judge, params, run_cache,
};

/// A project in a folder.
pub(super) struct Bench {
    pub(super) root: PathBuf,
    /// Where the results of commands are, the oldest first.
    runs: RefCell<Vec<String>>,
}

/// What happened in one run.
#[derive(Debug, Default)]
pub(in crate::pipeline) struct Report {
    pub(in crate::pipeline) failed: bool,
    pub(in crate::pipeline) error: Option<PipelineError>,
    pub(in crate::pipeline) ran: Vec<String>,
    pub(in crate::pipeline) restored: Vec<String>,
    pub(in crate::pipeline) skipped: Vec<String>,
    pub(in crate::pipeline) commands: Vec<String>,
    pub(in crate::pipeline) why: Vec<(String, Change)>,
}

/// What `repro` was asked for.
#[derive(Default)]
pub(in crate::pipeline) struct Options {
    pub(in crate::pipeline) force: bool,
    pub(in crate::pipeline) force_downstream: bool,
    pub(in crate::pipeline) keep_going: bool,
    pub(in crate::pipeline) ignore_errors: bool,
    pub(in crate::pipeline) dry: bool,
    pub(in crate::pipeline) no_commit: bool,
    pub(in crate::pipeline) no_run_cache: bool,
    pub(in crate::pipeline) recursive: bool,
    pub(in crate::pipeline) glob: bool,
    pub(in crate::pipeline) reach: Reach,
    pub(in crate::pipeline) targets: Vec<String>,
}

impl Options {
    pub(in crate::pipeline) fn parse(arguments: &[String]) -> Self {
        let mut options = Self::default();
        for argument in arguments {
            match argument.as_str() {
                "-f" => options.force = true,
                "--force-downstream" => options.force_downstream = true,
                "-k" => options.keep_going = true,
                "--ignore-errors" => options.ignore_errors = true,
                "--dry" => options.dry = true,
                "--no-commit" => options.no_commit = true,
                "--no-run-cache" => options.no_run_cache = true,
                "-R" => options.recursive = true,
                "--glob" => options.glob = true,
                "-s" => options.reach = Reach::Only,
                "--downstream" => options.reach = Reach::Downstream,
                "-p" => options.reach = Reach::Connected,
                "-P" => options.reach = Reach::Everything,
                flag if flag.starts_with('-') => panic!("unknown flag {flag}"),
                target => options.targets.push(target.to_owned()),
            }
        }
        options
    }
}

impl Bench {
    pub(super) fn new(root: &Path) -> Self {
        Self {
            root: root.to_path_buf(),
            runs: RefCell::default(),
        }
    }

    fn object(&self, id: ObjectId) -> PathBuf {
        let name = id.to_string();
        let (folder, rest) = name.split_at(2);
        self.root.join(".dvc/cache/files/md5").join(folder).join(rest)
    }

    /// The files below a folder, with their paths in it.
    fn files(folder: &Path, prefix: &str, found: &mut Vec<(String, PathBuf)>) {
        for entry in fs::read_dir(folder).expect("listed") {
            let path = entry.expect("listed").path();
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            if name == ".dvc" {
                continue;
            }
            if path.is_dir() {
                Self::files(&path, &format!("{prefix}{name}/"), found);
            } else {
                found.push((format!("{prefix}{name}"), path));
            }
        }
    }

    fn manifest(folder: &Path) -> (Manifest, u64) {
        let (mut found, mut size) = (Vec::new(), 0);
        Self::files(folder, "", &mut found);
        let entries = found.iter().map(|(name, path)| {
            let digests = digest_bytes(&fs::read(path).expect("read"));
            size += digests.size;
            ManifestEntry {
                md5: digests.md5,
                path: RelPath::parse(name).expect("safe"),
            }
        });
        let entries = entries.collect();
        (Manifest::new("folder", entries).expect("safe"), size)
    }

    fn save(&self, place: &RelPath) {
        let path = place.to_path(&self.root);
        let put = |id: ObjectId, bytes: &[u8]| {
            let object = self.object(id);
            fs::create_dir_all(object.parent().expect("a folder")).expect("made");
            fs::write(object, bytes).expect("written");
        };
        if path.is_dir() {
            let (manifest, _) = Self::manifest(&path);
            for entry in manifest.entries() {
                let bytes = fs::read(entry.path.to_path(&path)).expect("read");
                put(ObjectId::file(entry.md5), &bytes);
            }
            put(manifest.id(), &manifest.to_bytes());
        } else {
            let bytes = fs::read(&path).expect("read");
            put(ObjectId::file(digest_bytes(&bytes).md5), &bytes);
        }
    }

    fn remove(&self, place: &RelPath) {
        let path = place.to_path(&self.root);
        if path.is_dir() {
            fs::remove_dir_all(path).expect("removed");
        } else if path.exists() {
            fs::remove_file(path).expect("removed");
        }
    }

    fn restore(&self, stage: &Stage, entry: &LockEntry) {
        for out in &stage.outs {
            self.remove(&out.place);
            let locked = entry.out(&out.path).expect("an out");
            let id = locked.id.expect("content");
            let path = out.place.to_path(&self.root);
            fs::create_dir_all(path.parent().expect("a folder")).expect("made");
            if id.tree {
                let bytes = fs::read(self.object(id)).expect("read");
                for file in Manifest::parse("folder", &bytes).expect("valid").entries() {
                    let path = file.path.to_path(&path);
                    fs::create_dir_all(path.parent().expect("a folder")).expect("made");
                    fs::copy(self.object(ObjectId::file(file.md5)), path).expect("copied");
                }
            } else {
                fs::copy(self.object(id), &path).expect("copied");
                if locked.isexec {
                    let mode = std::fs::Permissions::from_mode(0o755);
                    fs::set_permissions(path, mode).expect("set");
                }
            }
        }
    }

    /// A remembered result for what the stage reads now, the newest with all its content first.
    fn remembered(&self, stage: &Stage) -> Result<Option<LockEntry>> {
        let inputs = Stage {
            outs: Vec::new(),
            ..stage.clone()
        };
        let mut wanted = entry_of(&inputs, self)?;
        for out in &stage.outs {
            let nothing = digest_bytes(b"").md5;
            wanted.outs.push(super::super::LockedPath::new(
                &out.path,
                ObjectId::file(nothing),
                0,
                None,
            ));
        }
        let Some(key) = run_cache::key(&wanted).filter(|_| run_cache::is_sound(&wanted)) else {
            return Ok(None);
        };
        let folder = format!("/{}/", key.to_hex());
        for path in self
            .runs
            .borrow()
            .iter()
            .rev()
            .filter(|path| path.contains(&folder))
        {
            let text = fs::read_to_string(self.root.join(path)).expect("read");
            let entry = run_cache::parse(path, &text)?;
            let mut complete = run_cache::key(&entry) == Some(key);
            for out in &entry.outs {
                complete &= self.is_cached(out.id.expect("content"))?;
            }
            if complete {
                return Ok(Some(entry));
            }
        }
        Ok(None)
    }

    fn remember(&self, entry: &LockEntry) {
        let (Some(key), Some(value)) = (run_cache::key(entry), run_cache::value(entry)) else {
            return;
        };
        let path = format!(".dvc/cache/runs/{}", run_cache::path(&key, &value));
        let file = self.root.join(&path);
        fs::create_dir_all(file.parent().expect("a folder")).expect("made");
        fs::write(file, run_cache::to_text(entry)).expect("written");
        self.runs.borrow_mut().push(path);
    }

    /// Run the command; returns whether it succeeded.
    fn run(&self, stage: &Stage, shell: &str, report: &mut Report) -> bool {
        for out in stage.outs.iter().filter(|out| !out.persist) {
            self.remove(&out.place);
        }
        for line in stage.command_lines() {
            report.commands.push(line.to_owned());
            let status = Command::new(shell)
                .args(["-c", line])
                .current_dir(self.root.join(stage.folder.to_string()))
                .env("DVC_ROOT", &self.root)
                .env("DVC_STAGE", stage.address())
                .stdout(std::process::Stdio::null())
                .status();
            if !status.expect("started").success() {
                return false;
            }
        }
        true
    }

    fn pipelines(&self) -> Result<Graph> {
        let mut found = Vec::new();
        Self::files(&self.root, "", &mut found);
        let mut paths: Vec<RelPath> = found
            .iter()
            .filter(|(name, _)| name.rsplit('/').next() == Some("dvc.yaml"))
            .map(|(name, _)| RelPath::parse(name).expect("safe"))
            .collect();
        paths.sort_by_key(|path| (path.parts().count(), path.clone()));
        let folder = Folder::new(&self.root);
        Graph::new(
            Pipelines::load(&folder, &paths, ArgumentStyle::default())?,
            Vec::new(),
        )
    }

    fn lock_path(&self, stage: &Stage) -> PathBuf {
        self.root.join(stage.file.as_str()).with_file_name("dvc.lock")
    }

    fn lock(&self, stage: &Stage) -> Result<Lock> {
        match fs::read_to_string(self.lock_path(stage)) {
            Ok(text) => Lock::parse("dvc.lock", &text),
            Err(_) => Ok(Lock::default()),
        }
    }

    fn record(&self, stage: &Stage, entry: LockEntry) -> Result<()> {
        let mut lock = self.lock(stage)?;
        lock.set(&stage.name, entry);
        fs::write(self.lock_path(stage), lock.to_text()).expect("written");
        Ok(())
    }

    /// Reproduce.
    pub(super) fn repro(&self, options: &Options, shell: &str) -> Report {
        let mut report = Report::default();
        if let Err(error) = self.try_repro(options, shell, &mut report) {
            report.failed = true;
            report.error = Some(error);
        }
        report
    }

    fn try_repro(&self, options: &Options, shell: &str, report: &mut Report) -> Result<()> {
        let graph = self.pipelines()?;
        let selection = Selection {
            reach: options.reach,
            recursive: options.recursive,
            glob: options.glob,
            ..Selection::new(&options.targets)
        };
        let (mut made, mut broken) = (BTreeSet::new(), BTreeSet::new());
        for node in graph.select(&selection)? {
            let stage = graph.stage(node).expect("a stage");
            let needs = if stage.frozen { &[][..] } else { graph.needs(node) };
            if needs.iter().any(|need| broken.contains(need)) {
                broken.insert(node);
                continue;
            }
            let below = options.force_downstream && needs.iter().any(|need| made.contains(need));
            let force = options.force || below;
            let before = report.ran.len() + report.restored.len();
            let done = self.stage(stage, options, force, shell, report)?;
            if report.ran.len() + report.restored.len() > before {
                made.insert(node);
            }
            if !done && !options.ignore_errors {
                report.failed = true;
                if !options.keep_going {
                    return Ok(());
                }
                broken.insert(node);
            }
        }
        Ok(())
    }

    /// Make one stage; returns whether it is as it should be.
    fn stage(
        &self,
        stage: &Stage,
        options: &Options,
        force: bool,
        shell: &str,
        report: &mut Report,
    ) -> Result<bool> {
        let name = stage.address();
        let lock = self.lock(stage)?;
        let locked = lock.get(&stage.name);
        let changes = judge(stage, locked, self, Judging::default())?;
        if !force {
            report
                .why
                .extend(changes.first().map(|change| (name.clone(), change.clone())));
        }
        let action = action(stage, locked, &changes, self, force)?;
        if options.dry {
            let list = if action == Action::Skip {
                &mut report.skipped
            } else {
                &mut report.ran
            };
            list.push(name);
            return Ok(true);
        }
        let ask_run_cache = match action {
            Action::Skip => {
                report.skipped.push(name);
                return Ok(true);
            }
            Action::Blocked(_) => return Ok(false),
            Action::Record => {
                self.record(stage, entry_of(stage, self)?)?;
                return Ok(true);
            }
            Action::Restore => {
                self.restore(stage, locked.expect("an entry"));
                report.restored.push(name);
                self.record(stage, entry_of(stage, self)?)?;
                return Ok(true);
            }
            Action::Run { ask_run_cache } => ask_run_cache && !options.no_run_cache,
        };
        // DVC's key cannot hold a date, so that the whole of DVC fails here; Backlot need not.
        if self.has_date(stage)? {
            return Ok(false);
        }
        if ask_run_cache && let Some(entry) = self.remembered(stage)? {
            self.restore(stage, &entry);
            report.restored.push(name);
            self.record(stage, entry_of(stage, self)?)?;
            return Ok(true);
        }
        report.ran.push(name);
        if !self.run(stage, shell, report) {
            return Ok(false);
        }
        let entry = entry_of(stage, self)?;
        if !options.no_commit {
            let remembered = run_cache::is_eligible(stage);
            let kept = |out: &&Output| out.cache || (remembered && out.kind != OutputKind::Data);
            stage
                .outs
                .iter()
                .filter(kept)
                .for_each(|out| self.save(&out.place));
            if remembered {
                self.remember(&entry);
            }
        }
        self.record(stage, entry)?;
        Ok(true)
    }

    fn has_date(&self, stage: &Stage) -> Result<bool> {
        for dep in &stage.params {
            let values = self.parameters(&dep.place)?.unwrap_or(Value::Null);
            let selected = params::select(&dep.path, &values, &dep.keys)?;
            if selected.iter().any(|(_, value)| value.has_date()) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl Present for Bench {
    type Error = PipelineError;

    fn content(&self, place: &Place) -> Result<Option<Content>> {
        let path = self.root.join(place.to_string());
        if path.is_dir() {
            let (manifest, size) = Self::manifest(&path);
            return Ok(Some(Content {
                id: manifest.id(),
                size,
                nfiles: Some(manifest.entries().len() as u64),
                isexec: false,
            }));
        }
        Ok(fs::read(&path).ok().map(|bytes| {
            let digests = digest_bytes(&bytes);
            Content {
                id: ObjectId::file(digests.md5),
                size: digests.size,
                nfiles: None,
                isexec: fs::metadata(&path).is_ok_and(|file| file.permissions().mode() & 0o100 != 0),
            }
        }))
    }

    fn is_cached(&self, id: ObjectId) -> Result<bool> {
        let Ok(bytes) = fs::read(self.object(id)) else {
            return Ok(false);
        };
        if !id.tree {
            return Ok(true);
        }
        let manifest = Manifest::parse("folder", &bytes).expect("valid");
        let mut files = manifest.entries().iter();
        Ok(files.all(|entry| self.object(ObjectId::file(entry.md5)).exists()))
    }

    fn parameters(&self, place: &Place) -> Result<Option<Value>> {
        let text = Folder::new(&self.root).read(place)?;
        text.map(|text| params::read(&place.to_string(), &text))
            .transpose()
    }
}
