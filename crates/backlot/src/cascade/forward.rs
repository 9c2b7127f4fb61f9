//! Old content published again with higher versions, where people are on what is undone and never go back to a lower version.
//!
//! Invariants: a release that is made here has the content of the one it takes the place of, byte for byte but for its version, or is not made; it says
//! that it was built with the newest inputs only if these have the same content as those it was built with. Each step looks at the repos anew, so one that
//! was stopped is continued, and two people who undo the same make each release once. Deliberately absent: yanking (`revert`).

use backlot_cascade::{
    CascadeId, Expected, Inputs, NodeId, Release, Republish, Resolution, ResolveRequest, Resolver as _,
    plan_revert,
};
use backlot_core::{Context, file};
use backlot_pep::Version;

use crate::cascade::private::Rebuild;
use crate::cascade::resolver::StudioResolver;
use crate::cascade::studio::Studio;
use crate::cascade::worker::generative_groups;
use crate::error::{CascadeError, Error, Result};
use crate::releases::publish::PublishOptions;
use crate::validate::Occasion;
use crate::validate::run::Purpose;
use crate::workspace::Opened;

impl Opened {
    /// Publish what the plan of undoing a cascade has to be published, inputs before their users.
    pub(crate) fn publish_forward(
        &self,
        cascade: &CascadeId,
        roots: &[(NodeId, Version)],
        reason: &str,
    ) -> Result<()> {
        let mut done: Vec<Republish> = Vec::new();
        loop {
            self.context().check()?;
            let fresh = Self::now(&self.shared(), self.context())?;
            let studio = fresh.studio()?;
            let plan = plan_revert(&studio.catalog, cascade, roots, true)?;
            let next = plan.forward.iter().find(|next| !done.contains(next)).cloned();
            let Some(next) = next else { return Ok(()) };
            let gone = |node: &NodeId, version: &Version| {
                let mut steps = plan.steps.iter();
                steps.any(|step| step.node == *node && step.version == *version)
            };
            fresh.republish(cascade, &next, &studio, &gone, reason)?;
            done.push(next);
        }
    }

    /// Publish a release again with another version, from a workspace of its own.
    fn republish(
        &self,
        cascade: &CascadeId,
        one: &Republish,
        studio: &Studio,
        gone: &dyn Fn(&NodeId, &Version) -> bool,
        reason: &str,
    ) -> Result<()> {
        let quiet = self.context().clone().silent();
        let inputs = inputs_for(one, studio, gone, &quiet)?;
        let groups = generative_groups(&one.node, &one.content_of, studio);
        // Its releases are not those of the cascade, or they would be undone, too.
        let cascade = CascadeId(format!("revert-{cascade}"));
        let name = format!("{}-{}-{}", one.node.repo, one.node.package, std::process::id());
        let folder = self.cascade_folder(&cascade).join(name);
        file::remove(&folder)?;
        fs_err::create_dir_all(&folder)?;
        let rebuild = Rebuild {
            cascade: &cascade,
            node: &one.node,
            base: &one.content_of,
            groups: &groups,
            inputs: &inputs,
            studio,
            version: &one.version,
        };
        let message = format!("the content of {}: {reason}", one.content_of);
        let published = self
            .make_private(&folder, &rebuild, &quiet)
            .and_then(|shared| Self::now(&shared, &quiet)?.publish_as_it_was(one, studio, &message));
        // What cannot be removed is left to a cleaning of the cache.
        file::remove(&folder).ok();
        crate::workspace::local_cache::used::forget(self.cache_dir(), &folder);
        fs_err::remove_dir(self.cascade_folder(&cascade)).ok();
        match published {
            // Somebody who undoes the same was faster.
            Err(Error::Repo(backlot_repo::Error::ReleaseExists { .. })) => Ok(()),
            published => published,
        }
    }

    /// Publish the output of a private workspace, if it has the content of the release it was made from.
    fn publish_as_it_was(&self, one: &Republish, studio: &Studio, message: &str) -> Result<()> {
        let package = one.node.package.as_str();
        let output = self.output(package)?;
        let tracked = self.tracked_of_output(&output)?;
        let (provenance, _) = self.provenance(&output, &tracked)?;
        let old = studio.catalog.release(&one.node, &one.content_of);
        let recorded = old.filter(|old| old.record().is_some()).map(|old| old.files);
        let content = provenance.record.map(|record| record.content);
        if recorded.is_some() && content != recorded {
            return Err(CascadeError::OtherContent {
                package: package.to_owned(),
                version: one.content_of.to_string(),
            }
            .into());
        }
        let purpose = Purpose {
            occasion: Occasion::Publish,
            target: Some(one.node.repo.to_string()),
            ..Purpose::default()
        };
        if self.has_checks_of_files(&output, &purpose)? {
            self.pull(&[], None, false, false)?;
        }
        let report = self.run_checks(&output, &purpose)?;
        if let Some(failure) = report.failure() {
            return Err(failure.into());
        }
        self.keep_checks(report.recorded());
        let options = PublishOptions {
            to: Some(one.node.repo.to_string()),
            message: Some(message.to_owned()),
            // It leaves out what is undone.
            force: true,
            no_dirty: true,
            ..PublishOptions::default()
        };
        self.publish(package, &options)?;
        Ok(())
    }
}

/// The inputs that a release says it was built with when it is published again: the newest, where they have the same content, or those it had.
fn inputs_for(
    one: &Republish,
    studio: &Studio,
    gone: &dyn Fn(&NodeId, &Version) -> bool,
    context: &Context,
) -> Result<Inputs> {
    let Some(asset) = studio.catalog.asset(&one.node) else {
        return Ok(Inputs::default());
    };
    let Some(release) = asset.releases.get(&one.content_of) else {
        return Ok(Inputs::default());
    };
    let recorded = recorded(release);
    let requirements: Vec<_> = asset.generative_requirements(release).collect();
    let request = ResolveRequest {
        asset,
        release,
        requirements: &requirements,
        expected: &Expected::new(),
    };
    let resolver = StudioResolver::new(studio, context);
    let resolution = resolver.resolve(&request).map_err(backlot_cascade::Error::from)?;
    let Resolution::Chosen(fresh) = resolution else {
        return Ok(recorded);
    };
    let stays = |inputs: &Inputs| {
        let mut inputs = inputs.iter();
        inputs.all(|input| !gone(&NodeId::new(&input.repo, &input.package), &input.version))
    };
    if fresh.inputs.same_content(&recorded) && stays(&fresh.inputs) {
        Ok(fresh.inputs)
    } else {
        Ok(recorded)
    }
}

fn recorded(release: &Release) -> Inputs {
    let record = release.record();
    record.map(|record| record.inputs.clone()).unwrap_or_default()
}
