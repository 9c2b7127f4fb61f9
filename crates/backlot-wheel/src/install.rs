//! Installing an unpacked wheel, or a project as an editable, into an environment tree.
//!
//! The tree is a private copy that its owner swaps in when everything is in place, so files need no sync of their own
//! here; an existing one is replaced by a rename and never written to, since it may be a hard link. What was
//! installed is written to RECORD, by which [`uninstall`] removes it, and nothing else.

use std::collections::HashSet;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use backlot_core::{Context, LinkMode, RelPath, Sha256, file, link};
use backlot_pep::PackageName;
use fs_err as fs;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256 as Sha256Hasher};

use crate::archive::ENTRY_POINTS_NOT_TEXT;
use crate::entry_points::{EntryPoints, ReadEntryPoints};
use crate::error::{Error, Result};
use crate::layout::Layout;
use crate::metadata::Metadata;
use crate::owners::Owners;
use crate::project::Project;
use crate::record::{RecordEntry, parse_record, write_record};
use crate::scripts;
use crate::unpack::set_mode;

/// How to install.
#[derive(Clone, Debug)]
pub struct InstallOptions<'a> {
    /// How files are placed, in order of preference.
    pub links: &'a [LinkMode],
    /// The contents of INSTALLER.
    pub installer: &'a str,
    /// Whether it was requested by name (REQUESTED).
    pub requested: bool,
    /// Where it came from, if not from a repo (PEP 610).
    pub direct_url: Option<Value>,
}

impl Default for InstallOptions<'_> {
    /// Clones if the disk supports them, else copies, of packages requested by name.
    fn default() -> Self {
        Self {
            links: &[LinkMode::Reflink, LinkMode::Copy],
            installer: "backlot-wheel",
            requested: true,
            direct_url: None,
        }
    }
}

/// The installed package.
#[derive(Clone, Debug)]
pub struct InstalledWheel {
    /// The `.dist-info` folder.
    pub dist_info: PathBuf,
    /// How many files it has.
    pub files: u64,
}

/// An installation in progress: the tree and what went into it.
struct Installing<'a> {
    layout: &'a Layout,
    options: &'a InstallOptions<'a>,
    owners: &'a Owners,
    package: String,
    record: Vec<RecordEntry>,
    /// Folders that are there, so that a package asks for each once.
    made: HashSet<PathBuf>,
}

/// A folder created by [`crate::unpack`], and the files in its RECORD.
#[derive(Clone, Debug)]
pub struct UnpackedWheel {
    folder: PathBuf,
    dist_info: String,
    /// The package as file names spell it.
    pub(crate) package: String,
    /// Its files without those that each installation recreates.
    files: Vec<(RelPath, RecordEntry)>,
    entry_points: EntryPoints,
    problems: Vec<String>,
}

impl UnpackedWheel {
    /// Read the RECORD of an unpacked wheel. `name` is what its `.dist-info` is most likely called, without the ending.
    pub fn read(folder: &Path, name: &str) -> Result<Self> {
        let likely = format!("{name}.dist-info");
        let (dist_info, record) = match fs::read_to_string(folder.join(&likely).join("RECORD")) {
            Ok(record) => (likely, record),
            Err(_) => {
                let found = dist_info_of(folder)?;
                let record = fs::read_to_string(folder.join(&found).join("RECORD"))?;
                (found, record)
            }
        };
        let entries = parse_record(&record);
        let mut files = Vec::with_capacity(entries.len());
        for entry in entries {
            let path = RelPath::parse(&entry.path).map_err(|source| Error::HostileEntry {
                path: folder.to_path_buf(),
                source,
            })?;
            // Some builders name folders.
            let is_folder = entry.sha256.is_none() && path.to_path(folder).is_dir();
            if !is_made_anew(&path, &dist_info) && !is_folder {
                files.push((path, entry));
            }
        }
        let entry_points = format!("{dist_info}/entry_points.txt");
        let has_some = files.iter().any(|(path, _)| path.as_str() == entry_points);
        let entry_points = if has_some {
            let text = String::from_utf8(fs::read(folder.join(entry_points))?);
            EntryPoints::read(&text.map_err(|_| Error::BadWheel {
                path: folder.to_path_buf(),
                reason: ENTRY_POINTS_NOT_TEXT.to_owned(),
            })?)
        } else {
            ReadEntryPoints::default()
        };
        Ok(Self {
            folder: folder.to_path_buf(),
            package: package_of(folder, &dist_info)?,
            dist_info,
            files,
            entry_points: entry_points.points,
            problems: entry_points.problems,
        })
    }

    /// Its entry points.
    pub fn entry_points(&self) -> &EntryPoints {
        &self.entry_points
    }

    /// Invalid lines of its `entry_points.txt`: clauses for messages.
    pub fn entry_point_problems(&self) -> &[String] {
        &self.problems
    }

    /// Whether all its files go to site-packages as they are in the wheel. Many such can be installed at once, after
    /// [`Owners::expect`] was called for each.
    pub fn is_plain(&self, layout: &Layout) -> bool {
        scripts::launchers(&self.entry_points, layout).is_empty()
            && !self.files.iter().any(|(path, _)| self.in_data(path).is_some())
    }

    /// The files that are placed as they are, by their path as RECORD has it.
    pub(crate) fn plain_files(&self, layout: &Layout) -> impl Iterator<Item = (String, &RecordEntry)> {
        let plain = self.files.iter().filter(|(path, _)| self.in_data(path).is_none());
        plain.map(|(path, entry)| (layout.record_path(&path.below(&layout.purelib)), entry))
    }

    /// `<kind>/...` of `<name>.data/<kind>/...`.
    fn in_data<'p>(&self, path: &'p RelPath) -> Option<&'p str> {
        let stem = self.dist_info.strip_suffix(".dist-info")?;
        let rest = path.as_str().strip_prefix(stem)?;
        rest.strip_prefix(".data/")
    }

    /// Put it into a tree.
    pub fn install(
        &self,
        layout: &Layout,
        options: &InstallOptions<'_>,
        owners: &Owners,
        context: &Context,
    ) -> Result<InstalledWheel> {
        let mut install = Installing::new(layout, options, owners, self.package.clone());
        for (path, entry) in &self.files {
            context.check()?;
            let source = path.to_path(&self.folder);
            match self.in_data(path) {
                Some(rest) => install.place_data(&source, rest, entry)?,
                None => install.place(&source, &path.below(&layout.purelib), entry)?,
            }
        }
        install.write_scripts(&self.entry_points)?;
        install.finish(&self.dist_info)
    }
}

/// Whether a file of a wheel is one that each installation writes for itself.
fn is_made_anew(path: &RelPath, dist_info: &str) -> bool {
    let own = path.as_str().strip_prefix(dist_info);
    own.is_some_and(|rest| rest.starts_with('/'))
        && matches!(
            path.file_name(),
            "RECORD" | "INSTALLER" | "REQUESTED" | "direct_url.json" | "RECORD.jws" | "RECORD.p7s"
        )
}

/// The package of an unpacked wheel: the name before the last `-` of its `.dist-info`, which is that of its METADATA.
fn package_of(unpacked: &Path, dist_info: &str) -> Result<String> {
    let name = dist_info
        .strip_suffix(".dist-info")
        .and_then(|stem| stem.rsplit_once('-'));
    match name.and_then(|(name, _)| PackageName::parse(name).ok()) {
        Some(package) => Ok(package.file_stem()),
        None => {
            let text = fs::read_to_string(unpacked.join(dist_info).join("METADATA"))?;
            Ok(Metadata::parse(&text)?.package().file_stem())
        }
    }
}

/// Install a project so that its source is used in place: a `.pth` file (PEP 660) and `direct_url.json` (PEP 610).
pub fn install_editable(
    project: &Project,
    layout: &Layout,
    options: &InstallOptions<'_>,
    owners: &Owners,
    context: &Context,
) -> Result<InstalledWheel> {
    context.check()?;
    let stem = project.metadata.package().file_stem();
    let dist_info = format!("{stem}-{}.dist-info", project.metadata.version);
    let mut install = Installing::new(layout, options, owners, stem.clone());
    let folders = project.import_folders();
    let seen = folders
        .iter()
        .map(|folder| seen_from_site_packages(folder, layout));
    let mut folders: Vec<String> = seen.collect();
    folders.sort();
    folders.dedup();
    install.write(
        &format!("__editable__.{stem}.pth"),
        (folders.join("\n") + "\n").as_bytes(),
    )?;
    install.write(
        &format!("{dist_info}/METADATA"),
        project.metadata.to_text().as_bytes(),
    )?;
    let wheel = "Wheel-Version: 1.0\nGenerator: backlot\nRoot-Is-Purelib: true\nTag: py3-none-any\n";
    install.write(&format!("{dist_info}/WHEEL"), wheel.as_bytes())?;
    let entry_points = project.entry_points.to_text();
    if !entry_points.is_empty() {
        install.write(&format!("{dist_info}/entry_points.txt"), entry_points.as_bytes())?;
    }
    let direct_url = json!({ "url": file_url(&project.root), "dir_info": { "editable": true } });
    install.write(
        &format!("{dist_info}/direct_url.json"),
        direct_url.to_string().as_bytes(),
    )?;
    install.write_scripts(&project.entry_points)?;
    install.finish(&dist_info)
}

/// A folder as a line of a `.pth` file: relative if it is next to the environment, so that both can move together.
fn seen_from_site_packages(folder: &Path, layout: &Layout) -> String {
    let beside = layout
        .final_root
        .parent()
        .and_then(|parent| folder.strip_prefix(parent).ok());
    match beside {
        Some(inside) => {
            let up = "../".repeat(layout.purelib.parts().count() + 1);
            format!("{up}{}", inside.display())
        }
        None => folder.display().to_string(),
    }
}

/// Write a file that is not there.
fn write_new(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut open = fs::OpenOptions::new();
    open.write(true).create_new(true).open(path)?.write_all(bytes)
}

/// Rewrite a file. The old one may be a hard link to one in use: it is removed, not written to.
fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    file::remove(path)?;
    Ok(write_new(path, bytes)?)
}

impl<'a> Installing<'a> {
    fn new(layout: &'a Layout, options: &'a InstallOptions<'a>, owners: &'a Owners, package: String) -> Self {
        Self {
            layout,
            options,
            owners,
            package,
            record: Vec::new(),
            made: HashSet::new(),
        }
    }

    fn make_folder_of(&mut self, path: &Path) -> Result<()> {
        let folder = path.parent().unwrap_or(&self.layout.root);
        if !self.made.contains(folder) {
            fs::create_dir_all(folder)?;
            self.made.insert(folder.to_path_buf());
        }
        Ok(())
    }

    /// Place a file of the wheel.
    fn place(&mut self, source: &Path, target: &RelPath, entry: &RecordEntry) -> Result<()> {
        self.refuse_reserved(target)?;
        let path = target.to_path(&self.layout.root);
        self.make_folder_of(&path)?;
        match link::place_sized(source, entry.size, &path, self.options.links, true) {
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                let record_path = self.layout.record_path(target);
                self.owners
                    .check(self.layout, &record_path, entry.sha256, &self.package)?;
                link::place(source, entry.size, &path, self.options.links, true)?;
            }
            Err(error) => return Err(error.into()),
        }
        self.record.push(RecordEntry {
            path: self.layout.record_path(target),
            ..entry.clone()
        });
        Ok(())
    }

    /// Files of the environment itself may not be replaced by a package.
    fn refuse_reserved(&self, target: &RelPath) -> Result<()> {
        if self.layout.python.is_none() {
            return Ok(());
        }
        let own = match target.as_str().strip_prefix("bin/") {
            Some(script) => {
                let version = script.strip_prefix("python");
                let version = version.is_some_and(|v| v.bytes().all(|b| b == b'.' || b.is_ascii_digit()));
                version || matches!(script, "activate" | "activate.fish")
            }
            None => matches!(target.as_str(), "pyvenv.cfg" | "bin" | "lib" | "lib64"),
        };
        if own {
            return Err(Error::FileConflict {
                path: target.to_string(),
                package: self.package.clone(),
                other: "the environment itself".to_owned(),
            });
        }
        Ok(())
    }

    /// Place a file of `<name>.data/<kind>/...`.
    fn place_data(&mut self, source: &Path, rest: &str, entry: &RecordEntry) -> Result<()> {
        let hostile = |source| Error::HostileEntry {
            path: PathBuf::from(rest),
            source,
        };
        let (kind, path) = rest.split_once('/').unwrap_or((rest, ""));
        let path = RelPath::parse(path).map_err(hostile)?;
        let target = match kind {
            "purelib" | "platlib" => path.below(&self.layout.purelib),
            "data" => path,
            "headers" => {
                let python = self
                    .layout
                    .purelib
                    .parts()
                    .find(|part| part.starts_with("python"));
                let folder = ["include", "site"]
                    .into_iter()
                    .chain(python)
                    .chain([self.package.as_str()]);
                let folder = folder.collect::<Vec<_>>().join("/");
                path.below(&RelPath::parse(&folder).map_err(hostile)?)
            }
            "scripts" if self.layout.python.is_none() => return Ok(()),
            "scripts" => return self.place_script(source, &path),
            // No installer knows where such files belong: pip and uv refuse them, too.
            other => {
                return Err(Error::BadWheel {
                    path: PathBuf::from(&self.package),
                    reason: format!(
                        "`{rest}` is in `.data/{other}`, which is not one of purelib, platlib, headers, scripts and data"
                    ),
                });
            }
        };
        self.place(source, &target, entry)
    }

    /// Scripts that begin with `#!python` get the environment's interpreter (PEP 427).
    fn place_script(&mut self, source: &Path, path: &RelPath) -> Result<()> {
        let bytes = fs::read(source)?;
        let shebang = scripts::shebang(self.layout).unwrap_or_default();
        let bytes = match bytes.strip_prefix(b"#!python") {
            Some(rest) => {
                let line = rest
                    .iter()
                    .position(|b| *b == b'\n')
                    .map_or(rest.len(), |n| n + 1);
                [shebang.as_bytes(), &rest[line..]].concat()
            }
            None => bytes,
        };
        let target = path.below(&Layout::scripts());
        self.write_tree(&target, &bytes)?;
        set_mode(&target.to_path(&self.layout.root), 0o755)
    }

    fn write_scripts(&mut self, entry_points: &EntryPoints) -> Result<()> {
        for script in scripts::launchers(entry_points, self.layout) {
            self.write_tree(&script.path, script.text.as_bytes())?;
            set_mode(&script.path.to_path(&self.layout.root), 0o755)?;
        }
        Ok(())
    }

    /// Write an own file into site-packages.
    fn write(&mut self, path: &str, bytes: &[u8]) -> Result<()> {
        let path = RelPath::parse(path).map_err(|source| Error::HostileEntry {
            path: PathBuf::from(path),
            source,
        })?;
        self.write_tree(&path.below(&self.layout.purelib), bytes)
    }

    fn write_tree(&mut self, target: &RelPath, bytes: &[u8]) -> Result<()> {
        self.refuse_reserved(target)?;
        let path = target.to_path(&self.layout.root);
        self.make_folder_of(&path)?;
        let sha256 = Sha256::from_bytes(Sha256Hasher::digest(bytes).into());
        let record_path = self.layout.record_path(target);
        match write_new(&path, bytes) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                self.owners
                    .check(self.layout, &record_path, Some(sha256), &self.package)?;
                replace(&path, bytes)?;
            }
            written => written?,
        }
        self.record.push(RecordEntry {
            path: record_path,
            sha256: Some(sha256),
            size: Some(bytes.len() as u64),
        });
        Ok(())
    }

    fn finish(mut self, dist_info: &str) -> Result<InstalledWheel> {
        self.write(
            &format!("{dist_info}/INSTALLER"),
            format!("{}\n", self.options.installer).as_bytes(),
        )?;
        if self.options.requested {
            self.write(&format!("{dist_info}/REQUESTED"), b"")?;
        }
        if let Some(direct_url) = &self.options.direct_url {
            self.write(
                &format!("{dist_info}/direct_url.json"),
                direct_url.to_string().as_bytes(),
            )?;
        }
        let files = self.record.len() as u64 + 1;
        self.owners.add(&self.package, &self.record);
        self.record.push(RecordEntry {
            path: format!("{dist_info}/RECORD"),
            sha256: None,
            size: None,
        });
        let folder = self.layout.site_packages().join(dist_info);
        let (path, record) = (folder.join("RECORD"), write_record(&self.record));
        match write_new(&path, record.as_bytes()) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                replace(&path, record.as_bytes())?;
            }
            written => written?,
        }
        Ok(InstalledWheel {
            dist_info: folder,
            files,
        })
    }
}

/// The files removed by an uninstall.
#[derive(Clone, Debug, Default)]
pub struct UninstallReport {
    /// Paths in the tree.
    pub removed: Vec<RelPath>,
    /// RECORD paths that lead out of the tree and were left alone.
    pub kept: Vec<String>,
}

/// Remove an installed package by its RECORD, and the folders that become empty. Never touches a path outside the tree, nor
/// a file that another package has too. Without a RECORD only its `.dist-info` goes.
pub fn uninstall(
    dist_info: &Path,
    layout: &Layout,
    others: &Owners,
    context: &Context,
) -> Result<UninstallReport> {
    let record = file::read_if_exists(&dist_info.join("RECORD"))?.unwrap_or_default();
    let record = String::from_utf8_lossy(&record);
    let mut report = UninstallReport::default();
    let mut folders = std::collections::BTreeSet::new();
    for entry in parse_record(&record) {
        context.check()?;
        let Some(path) = layout.tree_path(&entry.path) else {
            report.kept.push(entry.path);
            continue;
        };
        if others.has(&entry.path) {
            continue;
        }
        let full = path.to_path(&layout.root);
        if fs::symlink_metadata(&full).is_ok_and(|m| !m.is_dir()) {
            fs::remove_file(&full)?;
        }
        let mut above = path.parent();
        while let Some(folder) = above {
            above = folder.parent();
            folders.insert(folder);
        }
        report.removed.push(path);
    }
    for folder in folders.into_iter().rev() {
        let full = folder.to_path(&layout.root);
        // Byte code belongs to the package that is gone.
        if !layout.purelib.is_within(&folder) && folder.is_within(&layout.purelib) {
            file::remove(&full.join("__pycache__"))?;
        }
        let keep = layout.purelib.is_within(&folder) || folder == Layout::scripts();
        if !keep {
            // Fails on a folder with other files in it, as intended.
            fs::remove_dir(&full).ok();
        }
    }
    remove_byte_code(&report.removed, layout)?;
    // Files not in RECORD would look like a half-removed package to every tool.
    file::remove(dist_info)?;
    Ok(report)
}

/// Remove the byte code that interpreters made of modules that lay in site-packages itself and are gone.
fn remove_byte_code(removed: &[RelPath], layout: &Layout) -> Result<()> {
    let mut gone = std::collections::BTreeSet::new();
    for path in removed {
        if path.parent().as_ref() == Some(&layout.purelib)
            && let Some(module) = path.file_name().strip_suffix(".py")
        {
            gone.insert(module.to_owned());
        }
    }
    let folder = layout.site_packages().join("__pycache__");
    if gone.is_empty() || !folder.is_dir() {
        return Ok(());
    }
    for entry in fs::read_dir(&folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        // `module.cpython-311.pyc`
        let module = name.split('.').next().unwrap_or_default();
        if name.ends_with(".pyc") && gone.contains(module) {
            file::remove(&entry.path())?;
        }
    }
    fs::remove_dir(&folder).ok();
    Ok(())
}

fn dist_info_of(unpacked: &Path) -> Result<String> {
    for entry in fs::read_dir(unpacked)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name.ends_with(".dist-info") {
            return Ok(name);
        }
    }
    Err(Error::BadWheel {
        path: unpacked.to_path_buf(),
        reason: "it has no `.dist-info`".to_owned(),
    })
}

/// `file:///studio/outputs/table`, with what URLs do not allow escaped.
pub fn file_url(path: &Path) -> String {
    let mut url = String::from("file://");
    for byte in path.display().to_string().bytes() {
        if byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte) {
            url.push(char::from(byte));
        } else {
            url.push_str(&format!("%{byte:02X}"));
        }
    }
    url
}
