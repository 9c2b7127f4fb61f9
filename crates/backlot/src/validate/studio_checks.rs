//! A studio's checks: those that it asks of all assets, in an installed package.
//!
//! A workspace (`[workspace] checks`) or a repo of it (`[repos.NAME] checks`) names an asset; that of a workspace counts for each publish and for copies into
//! the blessed repo, that of a repo for publishes and copies into it. Its `asset.toml` has `[[backlot.studio-check]]`. Invariants: they are added to an
//! asset's own and take none away, and no asset lowers one but by a waiver; an asset that is named and not installed is an error, as checks that do not run are no
//! checks.

use std::path::{Path, PathBuf};

use backlot_pep::{PackageName, Version};

use crate::environment::lockfile::Lock;
use crate::error::{Result, ValidateError};
use crate::project::output::{Output, module_folder};
use crate::workspace::Opened;

/// An installed asset with a studio's checks.
#[derive(Clone, Debug)]
pub(crate) struct StudioChecks {
    pub(crate) package: PackageName,
    pub(crate) version: Version,
    /// The folder of its package, with its `asset.toml`.
    pub(crate) folder: PathBuf,
}

impl StudioChecks {
    /// As results name it: `studio-checks 1.2`.
    pub(crate) fn label(&self) -> String {
        format!("{} {}", self.package, self.version)
    }
}

impl Opened {
    /// The assets with the studio's checks for what goes into a repo: the workspace's, then the repo's.
    pub(crate) fn studio_checks_names(&self, target: Option<&str>) -> Result<Vec<PackageName>> {
        let of_repo = target.and_then(|target| {
            let mut repos = self.config().repos.iter();
            repos.find(|entry| entry.name == target)?.checks.as_deref()
        });
        let mut names = Vec::new();
        for name in self.config().checks.as_deref().into_iter().chain(of_repo) {
            let name = PackageName::of_asset(name)?;
            if !names.contains(&name) {
                names.push(name);
            }
        }
        Ok(names)
    }

    /// The studio's checks for what goes into a repo, all installed.
    pub(crate) fn studio_checks(&self, target: Option<&str>) -> Result<Vec<StudioChecks>> {
        let names = self.studio_checks_names(target)?;
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let lock = Lock::load(self.root())?;
        names
            .iter()
            .map(|name| self.installed_checks(name, lock.as_ref()))
            .collect()
    }

    fn installed_checks(&self, name: &PackageName, lock: Option<&Lock>) -> Result<StudioChecks> {
        let missing = || ValidateError::ChecksNotInstalled {
            asset: name.to_string(),
        };
        let locked = lock.and_then(|lock| lock.package(name)).ok_or_else(missing)?;
        let folder = match &locked.editable {
            Some(path) => module_folder(&Output::load(&self.root().join(path))?),
            None => self.installed_asset_folder(name)?,
        };
        Ok(StudioChecks {
            package: name.clone(),
            version: locked.version.clone(),
            folder: folder.ok_or_else(missing)?,
        })
    }

    /// The folder of an installed package that has its `asset.toml`.
    fn installed_asset_folder(&self, name: &PackageName) -> Result<Option<PathBuf>> {
        let Some(environment) = self.environment()? else {
            return Ok(None);
        };
        let installed = environment.installed()?;
        let Some(dist) = installed.iter().find(|dist| dist.metadata.package() == *name) else {
            return Ok(None);
        };
        let record = dist.read_dist_info("RECORD")?.unwrap_or_default();
        let record = String::from_utf8_lossy(&record);
        let folder = record.lines().find_map(|line| {
            let (folder, _) = line.split(',').next()?.split_once("/asset.toml")?;
            let is_plain = !folder.contains(['/', '\\', '"']) && folder != "..";
            is_plain.then(|| environment.site_packages().join(folder))
        });
        Ok(folder.filter(|folder| is_there(folder)))
    }

    /// What a private workspace has to install so that it has the studio's checks of this one.
    pub(crate) fn studio_checks_requirements(&self, target: &str) -> Result<Vec<String>> {
        let names = self.studio_checks_names(Some(target))?;
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let lock = Lock::load(self.root())?;
        let requirement = |name: PackageName| {
            let locked = lock.as_ref().and_then(|lock| lock.package(&name));
            match locked.filter(|locked| locked.editable.is_none()) {
                Some(locked) => format!("{name}=={}", locked.version),
                // What is edited is not yet a release.
                None => name.to_string(),
            }
        };
        Ok(names.into_iter().map(requirement).collect())
    }
}

fn is_there(folder: &Path) -> bool {
    folder.join("asset.toml").is_file()
}
