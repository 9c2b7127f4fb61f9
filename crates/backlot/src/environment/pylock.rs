//! PEP 751: the lock as `pylock.toml`, and an environment from the `pylock.toml` of any tool.
//!
//! Invariants: what is written names each wheel with its digest, and the environment it was chosen for; what is read is
//! installed only if every wheel it needs is, digest for digest, in a repo of the workspace, so nothing comes from a place
//! the workspace does not know; the same of a source distribution where there is no wheel. An archive, which a file names by
//! its URL, becomes a requirement of the workspace, with its digest. What else a file may hold (version control) is refused.
//! Of the groups of a lock the default ones are taken. Deliberately absent: its extras, and choosing groups, which workspaces
//! do not have.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use backlot_core::{Sha256, StrongDigest, file};
use backlot_pep::{DirectUrl, GroupName, MarkerEnv, PackageName, Requirement, Specifiers, Version};
use backlot_repo::{Location, ReleaseFile};
use serde::{Deserialize, Serialize};

use crate::environment::install::{InstallReport, editable_in_the_way};
use crate::environment::lockfile::{Lock, LockedPackage};
use crate::environment::promised::Promised;
use crate::error::{Error, Result, WorkspaceError};
use crate::project::output::Output;
use crate::project::provenance::TOOL;
use crate::workspace::Opened;
use crate::workspace::rules::checked;

/// The most a lock file may have.
const LIMIT: usize = 64 * 1024 * 1024;

/// The supported subset of a `pylock.toml`.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub struct Pylock {
    lock_version: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    environments: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    requires_python: Option<String>,
    /// The groups that are installed where none is asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    default_groups: Vec<GroupName>,
    created_by: String,
    #[serde(default)]
    packages: Vec<Package>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tool: Option<Tool<WorkspaceTable>>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Package {
    name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    marker: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    requires_python: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    dependencies: Vec<Dependency>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    directory: Option<Directory>,
    #[serde(default, skip_serializing)]
    vcs: Option<toml::Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    archive: Option<Wheel>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sdist: Option<Wheel>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    wheels: Vec<Wheel>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tool: Option<Tool<PackageTable>>,
}

impl Package {
    /// An entry without files.
    fn named(package: &LockedPackage) -> Self {
        let needs = package.needs.iter().map(|name| Dependency {
            name: name.to_string(),
        });
        Self {
            name: package.name.to_string(),
            version: Some(package.version.to_string()),
            dependencies: needs.collect(),
            tool: (!package.groups.is_empty()).then(|| Tool {
                backlot: Some(PackageTable {
                    groups: package.groups.clone(),
                }),
            }),
            ..Self::default()
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Dependency {
    #[serde(default)]
    name: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct Directory {
    path: String,
    #[serde(default)]
    editable: bool,
}

/// A wheel, a source distribution or an archive: the tables have the same keys.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Wheel {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    subdirectory: Option<String>,
    #[serde(default)]
    hashes: Hashes,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Hashes {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sha256: Option<String>,
    #[serde(default, skip_serializing)]
    sha384: Option<String>,
    #[serde(default, skip_serializing)]
    sha512: Option<String>,
}

impl Hashes {
    fn of(sha256: Option<Sha256>) -> Self {
        Self {
            sha256: sha256.map(|sha256| sha256.to_hex()),
            ..Self::default()
        }
    }

    /// Those that are compared: SHA-256, and the others, the longest first. A text that is not a digest counts as none.
    fn read(&self) -> (Option<Sha256>, Vec<StrongDigest>) {
        let sha256 = self.sha256.as_deref().and_then(|hex| hex.parse().ok());
        let read = |name, hex: &Option<String>| StrongDigest::parse(name, hex.as_deref()?)?.ok();
        let strong = [read("sha512", &self.sha512), read("sha384", &self.sha384)];
        (sha256, strong.into_iter().flatten().collect())
    }
}

/// The `[tool.backlot]` tables, ignored by other tools.
#[derive(Debug, Serialize, Deserialize)]
struct Tool<T> {
    #[serde(default = "Option::default", skip_serializing_if = "Option::is_none")]
    backlot: Option<T>,
}

/// The requirements of the workspace.
#[derive(Debug, Default, Serialize, Deserialize)]
struct WorkspaceTable {
    #[serde(default)]
    requirements: Vec<String>,
}

/// The groups that were chosen.
#[derive(Debug, Default, Serialize, Deserialize)]
struct PackageTable {
    #[serde(default)]
    groups: Vec<GroupName>,
}

impl Pylock {
    /// Read the text of a lock of a version that is known; `path` is for messages.
    pub fn parse(path: &Path, text: &str) -> Result<Self> {
        let bad = |reason: String| {
            Error::from(WorkspaceError::BadLockFile {
                path: path.to_path_buf(),
                reason,
            })
        };
        let pylock: Self = toml::from_str(text).map_err(|e| bad(e.to_string()))?;
        let version = Version::parse(&pylock.lock_version).map_err(|e| bad(e.to_string()))?;
        let known = Specifiers::parse(">=1,<2").expect("a range");
        if !known.contains(&version) {
            return Err(bad(format!("unsupported lock-version {version}; expected 1")));
        }
        Ok(pylock)
    }

    fn of(lock: &Lock, packages: Vec<Package>) -> Self {
        Self {
            lock_version: "1.0".to_owned(),
            // Markers were judged for this environment only.
            environments: vec![format!(
                "python_version == '{}' and sys_platform == '{}'",
                lock.python,
                platform()
            )],
            created_by: TOOL.split(' ').next().unwrap_or_default().to_owned(),
            packages,
            tool: Some(Tool {
                backlot: Some(WorkspaceTable {
                    requirements: lock.requirements.clone(),
                }),
            }),
            ..Self::default()
        }
    }

    /// A lock of wheels that lie in the folder `wheels` beside it, each with its bytes.
    pub(crate) fn of_bundle(lock: &Lock, sizes: &BTreeMap<PackageName, u64>) -> Self {
        let packages = lock.packages.iter().map(|package| Package {
            wheels: vec![Wheel {
                name: package.wheel.clone(),
                path: package.wheel.as_ref().map(|file| format!("wheels/{file}")),
                size: sizes.get(&package.name).copied(),
                hashes: Hashes::of(package.sha256),
                ..Wheel::default()
            }],
            ..Package::named(package)
        });
        Self::of(lock, packages.collect())
    }

    /// The text, without unused parts.
    pub fn to_text(&self) -> String {
        toml::to_string(self).expect("a lock is plain data")
    }
}

impl Opened {
    /// The lock as the text of a `pylock.toml` in `folder`.
    pub(crate) fn pylock_text(&self, lock: &Lock, folder: &Path) -> Result<String> {
        let mut packages = Vec::new();
        for package in &lock.packages {
            packages.push(self.pylock_package(package, folder)?);
        }
        let pylock = Pylock::of(lock, packages);
        Ok(format!(
            "# The exact inputs of a Backlot workspace (PEP 751), written by `backlot export`.\n{}",
            pylock.to_text()
        ))
    }

    fn pylock_package(&self, package: &LockedPackage, folder: &Path) -> Result<Package> {
        let mut entry = Package::named(package);
        if let Some(url) = package.direct_url()? {
            let path = url.path().map(|path| relative(&path, folder));
            entry.archive = Some(Wheel {
                url: path.is_none().then(|| url.as_str().to_owned()),
                path,
                hashes: Hashes::of(package.sha256),
                ..Wheel::default()
            });
            return Ok(entry);
        }
        let (Some(repo), Some(sha256)) = (&package.repo, package.sha256) else {
            let path = self.root().join(package.editable.as_deref().unwrap_or_default());
            entry.directory = Some(Directory {
                path: relative(&path, folder),
                editable: true,
            });
            return Ok(entry);
        };
        let release = self.release_of(package, repo)?;
        let mut wheel = Wheel {
            name: package.file().cloned(),
            size: release.size,
            hashes: Hashes::of(Some(sha256)),
            ..Wheel::default()
        };
        match &release.place() {
            Location::Url(url) => wheel.url = Some(url.clone()),
            Location::Path(path) => wheel.path = Some(relative(path, folder)),
        }
        entry.requires_python = release.requires_python;
        if package.sdist.is_some() {
            entry.sdist = Some(wheel);
        } else {
            entry.wheels.push(wheel);
        }
        Ok(entry)
    }

    /// The release in its repo that a lock names.
    pub(crate) fn release_of(&self, package: &LockedPackage, repo: &str) -> Result<ReleaseFile> {
        let repo = self.open_repo(self.repo_entry(repo)?)?;
        repo.check_admits(&package.name)?;
        for release in package.of_its_kind(&repo, self.context())? {
            if release.version == package.version && Some(repo.digest(&release)?) == package.sha256 {
                return Ok(release);
            }
        }
        let what = format!("{} {} with the digest of the lock", package.name, package.version);
        Err(WorkspaceError::NoSuchRelease { what, nearest: None }.into())
    }

    pub(crate) fn install_from_lock(&mut self, path: &Path, dry_run: bool) -> Result<InstallReport> {
        self.change(dry_run, |workspace| workspace.install_pylock(path, None, dry_run))
    }

    /// An error if a `pylock.toml` cannot be read or is for another environment.
    pub(crate) fn check_pylock(&self, path: &Path) -> Result<()> {
        let env = self.marker_env()?;
        Reader::new(path, &env).read().map(drop)
    }

    /// The same; releases are looked for in the repo `prefer` first.
    pub(crate) fn install_pylock(
        &mut self,
        path: &Path,
        prefer: Option<&str>,
        dry_run: bool,
    ) -> Result<InstallReport> {
        let (env, outputs) = (self.marker_env()?, self.shown_outputs()?);
        let reader = Reader {
            outputs: &outputs,
            prefer,
            ..Reader::new(path, &env)
        };
        let pylock = reader.read()?;
        let mut packages = Vec::new();
        for entry in &pylock.packages {
            if reader.applies(entry, &pylock.default_groups)? {
                packages.push(self.locked_package(entry, &reader)?);
            }
        }
        reader.check_once(&packages)?;
        // An editable is never silently replaced, and does not go because another tool knows nothing of it.
        let mut others = Vec::new();
        for output in &outputs {
            match packages.iter().find(|p| p.name == output.package()) {
                Some(package) if package.editable.is_some() => {}
                Some(package) => {
                    let requirement = format!("{}=={}", package.name, package.version);
                    return Err(editable_in_the_way(output, requirement).into());
                }
                None => others.push(self.locked_output(output, &env)),
            }
        }
        let table = pylock.tool.and_then(|t| t.backlot);
        let requirements: Vec<String> = match table {
            Some(table) => table.requirements,
            None => roots(&packages),
        };
        packages.extend(others);
        let mut inputs = Vec::new();
        for text in &requirements {
            let requirement = Requirement::parse(text).map_err(|e| reader.bad(e.to_string()))?;
            inputs.push(checked(requirement)?);
        }
        self.name_archives(&packages, &outputs, &mut inputs)?;
        let requirements = inputs.iter().map(ToString::to_string).collect();
        for package in &mut packages {
            package.requested = inputs.iter().any(|r| r.name() == &package.name);
        }
        let old = Lock::load(self.root())?;
        let lock = Lock::new(env.python_short(), requirements, packages).with_conda_of(old.as_ref());
        self.apply_lock(inputs, old.as_ref(), &lock, &outputs, dry_run)
    }

    fn locked_package(&self, entry: &Package, reader: &Reader<'_>) -> Result<LockedPackage> {
        let name = PackageName::parse(&entry.name).map_err(|e| reader.bad(e.to_string()))?;
        let table = entry.tool.as_ref().and_then(|t| t.backlot.as_ref());
        let version = Version::parse(entry.version.as_deref().unwrap_or("0"))
            .map_err(|e| reader.bad(format!("{name}: {e}")))?;
        let mut locked = LockedPackage {
            groups: table.map(|t| t.groups.clone()).unwrap_or_default(),
            ..LockedPackage::new(name, version)
        };
        let metadata = if entry.directory.is_some() {
            let output = reader.outputs.iter().find(|o| o.package() == locked.name);
            let output = output.ok_or_else(|| {
                reader.refused(&locked.name, "a folder that is not an output of this workspace")
            })?;
            locked.version = output.project.metadata.version.clone();
            locked.editable = Some(self.display_path(&output.project.root));
            output.project.metadata.clone()
        } else if let Some(archive) = &entry.archive {
            self.locked_archive(entry, archive, &mut locked, reader)?
        } else {
            let what = match (&entry.vcs, &entry.sdist) {
                _ if !entry.wheels.is_empty() && entry.version.is_some() => None,
                (Some(_), _) => Some("a version control checkout"),
                (_, Some(_)) if entry.version.is_some() => None,
                _ => Some("no installable file, or no version"),
            };
            if let Some(what) = what {
                return Err(reader.refused(&locked.name, what));
            }
            self.find_locked_wheel(entry, &mut locked, reader)?
        };
        for requirement in &metadata.requires_dist {
            if requirement.applies(reader.env, &locked.groups) {
                locked.needs.push(requirement.name().clone());
            }
        }
        locked.needs.sort();
        locked.needs.dedup();
        Ok(locked)
    }

    /// The file that the archive of an entry names.
    fn locked_archive(
        &self,
        entry: &Package,
        archive: &Wheel,
        locked: &mut LockedPackage,
        reader: &Reader<'_>,
    ) -> Result<backlot_wheel::Metadata> {
        let name = locked.name.clone();
        if archive.subdirectory.is_some() {
            return Err(reader.refused(&name, "a subfolder of an archive"));
        }
        let (sha256, strong) = archive.hashes.read();
        if sha256.is_none() && strong.is_empty() {
            return Err(reader.refused(&name, "an archive without a SHA-256, SHA-384 or SHA-512"));
        }
        let url = match (&archive.url, &archive.path) {
            (Some(url), _) => url.clone(),
            (None, Some(path)) => {
                let folder = std::path::absolute(reader.path)?;
                let folder = folder.parent().unwrap_or(Path::new(""));
                backlot_wheel::file_url(&crate::workspace::absolute(&folder.join(path))?)
            }
            (None, None) => return Err(reader.refused(&name, "an archive without a URL or path")),
        };
        let url = DirectUrl::parse(&url)?
            .promising(sha256)
            .promising_strong(strong.first().copied());
        let file = self.direct_file(&name, &url)?;
        if entry.version.is_some() && file.metadata.version != locked.version {
            let found = &file.metadata.version;
            return Err(reader.bad(format!(
                "{name} is {} there, and {found} at {url}",
                locked.version
            )));
        }
        locked.version = file.metadata.version.clone();
        locked.take_direct(&url, &file);
        Ok(file.metadata)
    }

    /// Ask for each archive by its URL, unless the workspace does so already.
    fn name_archives(
        &self,
        packages: &[LockedPackage],
        outputs: &[Output],
        inputs: &mut Vec<Requirement>,
    ) -> Result<()> {
        for package in packages {
            let Some(url) = package.direct_url()? else {
                continue;
            };
            let rules = &self.config().rules;
            let named = inputs.iter().chain(&rules.constraints).chain(&rules.overrides);
            let mut named = named.chain(outputs.iter().flat_map(|o| &o.project.metadata.requires_dist));
            let is_it = |r: &Requirement| r.name() == &package.name && names(r, &url);
            if named.any(is_it) {
                continue;
            }
            let requirement = Requirement::parse(&format!("{} @ {}", package.name, url.as_str()))?;
            match inputs.iter_mut().find(|r| r.name() == &package.name) {
                Some(old) => *old = requirement,
                None => inputs.push(requirement),
            }
        }
        Ok(())
    }

    /// The wheel of an entry in a repo of the workspace, by its digest; else its source distribution.
    fn find_locked_wheel(
        &self,
        entry: &Package,
        locked: &mut LockedPackage,
        reader: &Reader<'_>,
    ) -> Result<backlot_wheel::Metadata> {
        let mut repos = self.repos();
        repos.sort_by_key(|repo| Some(repo.name.as_str()) != reader.prefer);
        let wheels: Vec<Promised<'_>> = entry.wheels.iter().filter_map(promised).collect();
        let sources: Vec<Promised<'_>> = entry.sdist.iter().filter_map(promised).collect();
        for (files, of_sources) in [(wheels, false), (sources, true)] {
            if files.is_empty() {
                continue;
            }
            for repo_entry in repos.iter().copied() {
                let repo = self.open_repo(repo_entry)?;
                let releases = if of_sources {
                    repo.sources(&locked.name)?
                } else {
                    repo.wheels(&locked.name, self.context())?
                };
                for release in releases.iter().filter(|r| r.version == locked.version) {
                    let digest = repo.digest(release)?;
                    if self.is_promised(&repo, release, digest, &files, &|reason| reader.bad(reason))? {
                        locked.take(&repo_entry.name, release, digest);
                        return Ok(repo.metadata(release)?);
                    }
                }
            }
        }
        let what = format!(
            "{} {} with a digest of the lock file",
            locked.name, locked.version
        );
        Err(WorkspaceError::NoSuchRelease { what, nearest: None }.into())
    }
}

/// What an entry promises of one of its files; `None` where there is no digest that could be compared.
fn promised(file: &Wheel) -> Option<Promised<'_>> {
    let (sha256, strong) = file.hashes.read();
    (sha256.is_some() || !strong.is_empty()).then_some(Promised {
        name: file.name.as_deref(),
        sha256,
        strong,
    })
}

/// A lock file being read, and for whom.
struct Reader<'a> {
    path: &'a Path,
    env: &'a MarkerEnv,
    outputs: &'a [Output],
    /// The repo that is looked into first.
    prefer: Option<&'a str>,
}

impl<'a> Reader<'a> {
    fn new(path: &'a Path, env: &'a MarkerEnv) -> Self {
        Self {
            path,
            env,
            outputs: &[],
            prefer: None,
        }
    }

    fn read(&self) -> Result<Pylock> {
        let bytes = file::read(self.path)?;
        if bytes.len() > LIMIT {
            return Err(self.bad("it is too large".to_owned()));
        }
        let text = String::from_utf8(bytes).map_err(|e| self.bad(e.to_string()))?;
        let pylock = Pylock::parse(self.path, &text)?;
        self.check_python(pylock.requires_python.as_deref(), "it")?;
        let mut fits = pylock.environments.is_empty();
        for marker in &pylock.environments {
            fits |= self.holds(marker, &[])?;
        }
        if !fits {
            return Err(self.elsewhere(format!("it is for {}", pylock.environments.join(" or "))));
        }
        Ok(pylock)
    }

    fn applies(&self, entry: &Package, groups: &[GroupName]) -> Result<bool> {
        if let Some(marker) = &entry.marker
            && !self.holds(marker, groups)?
        {
            return Ok(false);
        }
        self.check_python(entry.requires_python.as_deref(), &entry.name)?;
        Ok(true)
    }

    /// A package has one entry in an environment.
    fn check_once(&self, packages: &[LockedPackage]) -> Result<()> {
        let mut seen = BTreeMap::new();
        for package in packages {
            if let Some(other) = seen.insert(&package.name, &package.version) {
                let name = &package.name;
                let reason = format!("{name} has two entries, {other} and {}", package.version);
                return Err(self.bad(reason));
            }
        }
        Ok(())
    }

    /// Whether a marker holds here, for some groups of the lock.
    fn holds(&self, marker: &str, groups: &[GroupName]) -> Result<bool> {
        let requirement = Requirement::parse(&format!("x ; {marker}"));
        let requirement = requirement.map_err(|e| self.bad(e.to_string()))?;
        Ok(requirement.applies_in_lock(self.env, groups))
    }

    fn check_python(&self, range: Option<&str>, who: &str) -> Result<()> {
        let Some(range) = range else { return Ok(()) };
        let specifiers = Specifiers::parse(range).map_err(|e| self.bad(e.to_string()))?;
        if specifiers.contains(self.env.python()) {
            return Ok(());
        }
        let python = self.env.python();
        Err(self.elsewhere(format!(
            "{who} needs Python {range}, but this environment has {python}"
        )))
    }

    fn elsewhere(&self, reason: String) -> Error {
        WorkspaceError::LockForElsewhere {
            path: self.path.to_path_buf(),
            reason,
        }
        .into()
    }

    fn bad(&self, reason: String) -> Error {
        WorkspaceError::BadLockFile {
            path: self.path.to_path_buf(),
            reason,
        }
        .into()
    }

    fn refused(&self, name: &PackageName, what: &'static str) -> Error {
        WorkspaceError::LockedSource {
            path: self.path.to_path_buf(),
            name: name.clone(),
            what,
        }
        .into()
    }
}

/// What nothing else needs: asked for by name, exactly as locked.
fn roots(packages: &[LockedPackage]) -> Vec<String> {
    let needed = |name: &PackageName| packages.iter().any(|p| p.needs.contains(name));
    packages
        .iter()
        .filter(|p| !needed(&p.name))
        .map(|p| match &p.url {
            Some(url) => format!("{} @ {url}", p.name),
            None => format!("{}=={}", p.name, p.version),
        })
        .collect()
}

/// Whether a requirement names a URL.
fn names(requirement: &Requirement, url: &DirectUrl) -> bool {
    let own = requirement.direct_url().and_then(std::result::Result::ok);
    own.is_some_and(|own| own.agrees(url))
}

/// A path relative to a folder that it lies in; else absolute.
fn relative(path: &Path, folder: &Path) -> String {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    let shown: PathBuf = path.strip_prefix(folder).map_or(path.clone(), Path::to_path_buf);
    shown.display().to_string()
}

/// `sys.platform` of this machine.
fn platform() -> &'static str {
    match std::env::consts::OS {
        "macos" => "darwin",
        "windows" => "win32",
        other => other,
    }
}
