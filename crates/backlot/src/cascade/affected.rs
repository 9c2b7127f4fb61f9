//! What is affected by a publish, before and after it, or not current at all.
//!
//! Invariant: the report is that of `backlot-cascade`, level by level with reasons, decisions and old and new inputs; the same releases give the same
//! report. A release that does not exist yet is treated as though it did. Beside a publish it is made only where that is cheap, and what goes wrong
//! with it never fails the publish. Deliberately absent: doing anything about it.

use backlot_cascade::{DirtyReport, ExpectedRelease, Inputs, NodeId, RepoName, Root, dirty};
use backlot_pep::{PackageName, Version};

use crate::cascade::index::Effort;
use crate::cascade::resolver::StudioResolver;
use crate::cascade::studio::{Studio, stand_in};
use crate::error::{Result, WorkspaceError};
use crate::project::output::Output;
use crate::workspace::Opened;

impl Opened {
    /// What is affected by a release (`Table==1.5.0`, or `Table` for the one that an output would become, or else the newest), or everything that is
    /// not current. With `repo`, only of that one.
    pub(crate) fn affected(&self, what: Option<&str>, repo: Option<&str>) -> Result<DirtyReport> {
        if let Some(repo) = repo {
            self.repo_entry(repo)?;
        }
        let studio = self.studio()?;
        let mut resolver = StudioResolver::new(&studio, self.context());
        let roots = match what {
            Some(what) => self.roots(&studio, &mut resolver, what, repo)?,
            None => Vec::new(),
        };
        let mut report = dirty::report(&studio.catalog, &resolver, &roots, self.context())?;
        if let Some(repo) = repo {
            report.nodes.retain(|dirty| dirty.node.repo.as_str() == repo);
        }
        Ok(report)
    }

    /// What is affected by a release that was just published, or that a dry run would publish; `None` where that takes more than a moment, or is not known.
    pub(crate) fn affected_by_publish(
        &self,
        package: &PackageName,
        version: &Version,
        repo: &str,
        dry_run: bool,
    ) -> Option<DirtyReport> {
        let quiet = self.silently().ok()?;
        let effort = if dry_run { Effort::Look } else { Effort::Cheap };
        let studio = quiet.studio_within(effort).ok()??;
        let node = NodeId::new(&RepoName::new(repo), package);
        let mut resolver = StudioResolver::new(&studio, quiet.context());
        let root = quiet.root_of(&studio, &mut resolver, node, version);
        dirty::report(&studio.catalog, &resolver, &[root], quiet.context()).ok()
    }

    /// A release as a root, which may not exist yet: then it is like the output of its name.
    pub(crate) fn root_of(
        &self,
        studio: &Studio,
        resolver: &mut StudioResolver<'_>,
        node: NodeId,
        version: &Version,
    ) -> Root {
        if studio.catalog.release(&node, version).is_some() {
            let version = version.clone();
            return Root::Published { node, version };
        }
        let output = self.output(node.package.as_str()).ok();
        expected(studio, resolver, node, version, output.as_ref())
    }

    fn roots(
        &self,
        studio: &Studio,
        resolver: &mut StudioResolver<'_>,
        what: &str,
        repo: Option<&str>,
    ) -> Result<Vec<Root>> {
        let requirement = self.parse_requirement(what)?;
        let package = requirement.name();
        let output = self
            .outputs()?
            .into_iter()
            .find(|output| output.package() == *package);
        let own = output
            .as_ref()
            .map(|output| output.project.metadata.version.clone());
        let version = match requirement.specifiers().pinned() {
            Some(version) => Some(version),
            None if requirement.specifiers().is_any() => own.clone(),
            None => {
                let what = requirement.to_string();
                return Err(WorkspaceError::NotOneRelease { what }.into());
            }
        };
        let is_meant = |node: &NodeId| repo.is_none_or(|repo| node.repo.as_str() == repo);
        let mut published: Vec<Root> = Vec::new();
        for node in studio
            .having(package, version.as_ref())
            .into_iter()
            .filter(is_meant)
        {
            let asset = studio.catalog.asset(&node);
            let newest = asset
                .and_then(|asset| asset.newest())
                .map(|newest| newest.version.clone());
            if let Some(version) = version.clone().or(newest) {
                published.push(Root::Published { node, version });
            }
        }
        if !published.is_empty() {
            return Ok(published);
        }
        let is_known = output.is_some() || !studio.having(package, None).is_empty();
        let Some(version) = version.filter(|_| is_known) else {
            return Err(studio.unknown(&requirement).into());
        };
        let target = match repo {
            Some(repo) => self.repo_entry(repo)?,
            None => self.publish_target(None)?,
        };
        let node = NodeId::new(&RepoName::new(&target.name), package);
        let output = output.filter(|_| own.as_ref() == Some(&version));
        Ok(vec![expected(studio, resolver, node, &version, output.as_ref())])
    }
}

/// A release that does not exist yet: like the newest of its asset, or with what an output requires.
fn expected(
    studio: &Studio,
    resolver: &mut StudioResolver<'_>,
    node: NodeId,
    version: &Version,
    output: Option<&Output>,
) -> Root {
    if let Some(output) = output {
        resolver.expect(node.clone(), output.project.metadata.requires_dist.clone());
    }
    let newest = studio.catalog.asset(&node).and_then(|asset| asset.newest());
    Root::Expected(ExpectedRelease {
        base: newest.map(|newest| newest.version.clone()),
        version: version.clone(),
        inputs: Inputs::default(),
        stand_in: stand_in(&["expected", node.package.as_str(), &version.to_string()]),
        node,
    })
}
