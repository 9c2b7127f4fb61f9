//! Damage in `inputs/`: installed files that are not what their RECORD says, and packages of the lock that are not there.

use std::collections::BTreeSet;

use backlot_wheel::{Damage, DamageKind};
use serde::{Deserialize, Serialize};

use crate::environment::lockfile::Lock;
use crate::error::Result;
use crate::workspace::Opened;

/// An installed package with damaged files.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PackageDamage {
    /// The package.
    pub package: String,
    /// Its damaged files.
    pub files: Vec<Damage>,
}

impl Opened {
    /// The installed packages with damage, and those of the lock that are not there.
    pub(crate) fn damaged_inputs(&self) -> Result<Vec<PackageDamage>> {
        let lock = Lock::load(self.root())?;
        let mut damaged = Vec::new();
        let mut there = BTreeSet::new();
        if let Some(environment) = self.environment()? {
            for dist in environment.installed()? {
                self.context().check()?;
                let package = dist.metadata.package();
                let mut files = dist.verify(&environment.layout)?;
                files.sort_by(|a, b| a.path.cmp(&b.path));
                if !files.is_empty() {
                    damaged.push(PackageDamage {
                        package: package.to_string(),
                        files,
                    });
                }
                there.insert(package);
            }
        }
        for package in lock.iter().flat_map(|lock| &lock.packages) {
            if !there.contains(&package.name) {
                let stem = package.name.file_stem();
                damaged.push(PackageDamage {
                    package: package.name.to_string(),
                    files: vec![Damage {
                        path: format!("{stem}-{}.dist-info", package.version),
                        kind: DamageKind::Missing,
                    }],
                });
            }
        }
        Ok(damaged)
    }
}
