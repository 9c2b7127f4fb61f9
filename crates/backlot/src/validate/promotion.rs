//! The gate of a promotion: releases that are copied into a repo that has checks are checked first, as strictly as they say for that.
//!
//! Each is installed with the inputs that it was built with into a workspace of its own, in the cache, made editable there, and its checks are run on that.
//! Invariants: nothing of anybody's workspace is touched; what a release says that it was built from counts, not what can be installed now; packages that are not
//! assets pass. Deliberately absent: mirrors, which copy what a gate has let through before.

use std::collections::BTreeMap;

use backlot_core::file::TemporaryFolder;
use backlot_core::{Class, Diagnostic as _};
use backlot_pep::{PackageName, Version};
use backlot_repo::{RecordedCheck, Release, Repo};

use crate::environment::install::InstallRequest;
use crate::error::Result;
use crate::project::provenance::{BuildRecord, Provenance};
use crate::validate::declared::Occasion;
use crate::validate::report::ValidateReport;
use crate::validate::run::Purpose;
use crate::workspace::local_cache::used::forget;
use crate::workspace::{Opened, Shared};

/// What checks said of releases that are copied.
pub(crate) type PromotionChecks = BTreeMap<(PackageName, Version), Vec<RecordedCheck>>;

/// From where to where.
#[derive(Clone, Copy)]
pub(crate) struct Promotion<'a> {
    pub(crate) from: &'a str,
    pub(crate) to: &'a str,
    /// The remote that has the files, if not the default one.
    pub(crate) from_remote: Option<&'a str>,
    pub(crate) with_files: bool,
}

impl Opened {
    /// Check releases that are copied into a repo that has checks. An error if one refuses.
    pub(crate) fn pass_promotion<'r>(
        &self,
        source: &Repo,
        releases: impl Iterator<Item = &'r Release>,
        promotion: Promotion<'_>,
    ) -> Result<(PromotionChecks, Vec<ValidateReport>)> {
        let (mut checks, mut reports) = (PromotionChecks::new(), Vec::new());
        let target = self.repo_entry(promotion.to)?;
        let is_gated = target.checks.is_some() || self.config().blessed.as_deref() == Some(&target.name);
        if !is_gated || self.studio_checks_names(Some(&target.name))?.is_empty() {
            return Ok((checks, reports));
        }
        for release in releases {
            self.context().check()?;
            let release = release.best();
            if release.is_sdist() {
                continue;
            }
            let archive = source.archive(release)?;
            if archive.asset_info().is_none() {
                continue;
            }
            let record = Provenance::of(&archive)?.and_then(|made| made.record);
            let of = (&release.package, &release.version);
            let report = self.check_released(of, record, promotion)?;
            self.warn_of_checks(&report);
            if let Some(failure) = report.failure() {
                return Err(failure.into());
            }
            checks.insert(
                (release.package.clone(), release.version.clone()),
                report.recorded(),
            );
            reports.push(report);
        }
        Ok((checks, reports))
    }

    /// Run the checks of a release in a workspace of its own.
    fn check_released(
        &self,
        (package, version): (&PackageName, &Version),
        record: Option<BuildRecord>,
        promotion: Promotion<'_>,
    ) -> Result<ValidateReport> {
        let promotions = self.cache_dir().join("promotions");
        fs_err::create_dir_all(&promotions)?;
        backlot_store::sweep_folder(&promotions);
        let folder = TemporaryFolder::in_folder(&promotions)?;
        let mut config = self.private_config(folder.path(), promotion.from, &[promotion.to])?;
        config.set_publish_to(None);
        let shared = Shared::new(folder.path().to_path_buf(), self.host());
        shared.set_blessed(self.blessed());
        let mut private = Self::with_config(shared, config, &self.context().clone().silent())?;
        let _forgotten = Forgotten(self, folder.path());
        private.make()?;
        let mut wanted = vec![format!("{package}=={version}")];
        wanted.extend(self.studio_checks_requirements(promotion.to)?);
        let inputs = record.iter().flat_map(|record| &record.inputs);
        let inputs = inputs.filter(|input| !input.editable);
        let inputs = inputs.map(|input| format!("{}=={}", input.package, input.version));
        let exactly: Vec<String> = wanted.iter().cloned().chain(inputs).collect();
        match private.install(&exactly, &InstallRequest::default()) {
            Ok(_) => {}
            // Not all that it was built with is still there. That is for its checks to judge.
            Err(error) if matches!(error.class(), Class::Conflict | Class::NotFound) => {
                private.install(&wanted, &InstallRequest::default())?;
            }
            Err(error) => return Err(error),
        }
        private.edit(package.as_str(), false)?;
        let output = private.edited_as(package, version)?;
        let purpose = Purpose {
            occasion: Occasion::Promotion,
            target: Some(promotion.to.to_owned()),
            version: Some(version.clone()),
            record,
            fresh: false,
        };
        if promotion.with_files && private.has_checks_of_files(&output, &purpose)? {
            // What cannot be pulled is a check that cannot look.
            private.pull(&[package.to_string()], promotion.from_remote, false, false)?;
        }
        private.run_checks(&output, &purpose)
    }
}

/// The cache forgets a workspace when this goes.
struct Forgotten<'a>(&'a Opened, &'a std::path::Path);

impl Drop for Forgotten<'_> {
    fn drop(&mut self) {
        forget(self.0.cache_dir(), self.1);
    }
}
