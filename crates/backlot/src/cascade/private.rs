//! A workspace of its own for building one asset: nothing of anybody's workspace is in it but where repos and remotes are, and Python.
//!
//! Invariants: it lies in the cache and is named by the attempt, so two attempts never share one; rules, lock and outputs of the workspace that a cascade
//! was started from do not count, as everybody is to get the same; releases that are made in it name the cascade. Deliberately absent: conda packages
//! beside the inputs.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use backlot_cascade::{CascadeId, Inputs, NodeId};
use backlot_core::Context;
use backlot_pep::{PackageName, Version};

use crate::cascade::studio::Studio;
use crate::environment::install::InstallRequest;
use crate::environment::lockfile::Lock;
use crate::error::{CascadeError, Result};
use crate::project::output::Output;
use crate::workspace::config::Config;
use crate::workspace::{Opened, Shared};

/// The release to build again, and with what.
#[derive(Debug)]
pub(crate) struct Rebuild<'a> {
    pub(crate) cascade: &'a CascadeId,
    pub(crate) node: &'a NodeId,
    pub(crate) base: &'a Version,
    /// The groups of the asset that its content is made with.
    pub(crate) groups: &'a [String],
    pub(crate) inputs: &'a Inputs,
    /// Where the inputs are found.
    pub(crate) studio: &'a Studio,
    /// The version it gets.
    pub(crate) version: &'a Version,
}

impl Opened {
    /// Where the attempts of a cascade build.
    pub(crate) fn cascade_folder(&self, cascade: &CascadeId) -> PathBuf {
        self.cache_dir().join("cascades").join(&cascade.0)
    }

    /// Make a workspace, install the exact inputs, and make the release editable in it, with its new version.
    pub(crate) fn make_private(
        &self,
        root: &Path,
        rebuild: &Rebuild<'_>,
        context: &Context,
    ) -> Result<Arc<Shared>> {
        let config = self.private_config(root, rebuild.node.repo.as_str(), &[])?;
        let shared = Shared::of_cascade(root.to_path_buf(), self.host(), rebuild.cascade);
        shared.set_blessed(self.blessed());
        let mut private = Self::with_config(Arc::clone(&shared), config, context)?;
        private.make()?;
        let mut wanted = requirements(rebuild);
        let checks = self.studio_checks_requirements(rebuild.node.repo.as_str())?;
        let is_new = |one: &String| {
            let name = one.split("==").next();
            !wanted.iter().any(|known| known.split(['=', '[']).next() == name)
        };
        let checks: Vec<String> = checks.into_iter().filter(is_new).collect();
        wanted.extend(checks);
        private.install(&wanted, &InstallRequest::default())?;
        private.check_inputs_are(rebuild)?;
        private.edit(rebuild.node.package.as_str(), false)?;
        private.edited_as(&rebuild.node.package, rebuild.version)?;
        Ok(shared)
    }

    /// Give an output another version, and show it so.
    pub(crate) fn edited_as(&self, package: &PackageName, version: &Version) -> Result<Output> {
        let held = self.hold()?;
        let output = held.output(package.as_str())?;
        Self::write_version(&output, version, false)?;
        let output = Output::load(&output.project.root)?;
        held.sync_editable(&output)?;
        Ok(output)
    }

    /// The repos that releases of a repo may take their inputs from, some others, and the remotes, by whole paths.
    pub(crate) fn private_config(&self, root: &Path, repo: &str, also: &[&str]) -> Result<Config> {
        let mut reach = self.reach_of(self.repo_entry(repo)?);
        for name in also {
            let entry = self.repo_entry(name)?;
            if !reach.contains(&entry) {
                reach.push(entry);
            }
        }
        let mut config = self.config_elsewhere(root, reach)?;
        // The nearest first, as the plan chose.
        config.set_blessed(Some(repo));
        config.set_checks(self.config().checks.as_deref());
        config.set_publish_to(Some(repo));
        Ok(config)
    }

    /// An error unless what is installed has the digests that were planned.
    fn check_inputs_are(&self, rebuild: &Rebuild<'_>) -> Result<()> {
        let lock = Lock::load(self.root())?;
        for input in rebuild.inputs.iter().filter(|input| !input.editable) {
            let locked = lock.as_ref().and_then(|lock| lock.package(&input.package));
            let digests = rebuild.studio.digests(input);
            if locked.is_some_and(|locked| locked.sha256.is_some_and(|sha256| digests.contains(&sha256))) {
                continue;
            }
            let told = |digest: String| format!("{} {} ({})", input.package, input.version, &digest[..12]);
            let found = locked.map(|locked| (locked, locked.sha256.map(|sha256| sha256.to_hex())));
            return Err(CascadeError::OtherInput {
                package: rebuild.node.package.to_string(),
                expected: told(input.wheel.to_hex()),
                found: match found {
                    Some((locked, Some(digest))) => format!("{} ({})", locked.version, &digest[..12]),
                    Some((locked, None)) => locked.version.to_string(),
                    None => "nothing".to_owned(),
                },
            }
            .into());
        }
        Ok(())
    }

    /// Whether an asset has stages, which read files.
    pub(crate) fn has_stages(output: &Output) -> bool {
        output.module_folders().iter().any(|folder| has_pipeline(folder))
    }
}

/// Whether there is a `dvc.yaml` in a folder or below.
fn has_pipeline(folder: &Path) -> bool {
    let Ok(entries) = fs_err::read_dir(folder) else {
        return false;
    };
    entries.flatten().any(|entry| {
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if is_folder {
            has_pipeline(&entry.path())
        } else {
            entry.file_name() == backlot_dvc::pipeline::PIPELINE_FILE
        }
    })
}

/// The release with its groups, and each input, exactly.
fn requirements(rebuild: &Rebuild<'_>) -> Vec<String> {
    let groups = if rebuild.groups.is_empty() {
        String::new()
    } else {
        format!("[{}]", rebuild.groups.join(","))
    };
    let own = format!("{}{groups}=={}", rebuild.node.package, rebuild.base);
    let inputs = rebuild.inputs.iter().filter(|input| !input.editable);
    let inputs = inputs.map(|input| format!("{}=={}", input.package, input.version));
    std::iter::once(own).chain(inputs).collect()
}
