//! The inputs of a build, as recorded in its wheel: exact inputs, recipe, how cascades treat the asset.
//!
//! Invariant: the same project and lock give the same record on every machine, so it names no repo, place, person or time: a digest says which
//! release an input was, wherever it came from. An output among the inputs has no digest, and the record says so. Deliberately absent: the
//! wheel, and reading records back (`cascade/`).

use std::collections::{BTreeMap, BTreeSet};

use backlot_cascade::Settings;
use backlot_core::text;
use backlot_pep::{MarkerEnv, PackageName, Requirement};

use crate::environment::lockfile::Lock;
use crate::error::{Result, WorkspaceError};
use crate::files::tracked::Tracked;
use crate::project::base::BaseRelease;
use crate::project::content::{Content, content_digest, outs_of, recipe_digest};
use crate::project::output::Output;
use crate::project::provenance::{BuildRecord, ExactInput, Provenance, TOOL};
use crate::workspace::Opened;

impl Opened {
    /// The current build inputs of a release of this output, and its contents.
    pub(crate) fn provenance(&self, output: &Output, tracked: &Tracked) -> Result<(Provenance, Content)> {
        let lock = Lock::load(self.root())?;
        let env = match &lock {
            Some(lock) => MarkerEnv::for_python(&lock.python)?,
            None => self.marker_env()?,
        };
        let cascade = cascade_settings(output)?;
        let requirements = generative(output, &env, &cascade);
        let content = self.content_of(output, tracked)?;
        let mut inputs = BTreeMap::new();
        for package in lock.iter().flat_map(|lock| &lock.packages) {
            let mut required = output.project.metadata.requires_dist.iter();
            if required.any(|requirement| requirement.name() == &package.name) {
                inputs.insert(package.name.clone(), package.version.clone());
            }
        }
        let has = |name: &PackageName| lock.as_ref().is_some_and(|lock| lock.package(name).is_some());
        let missing = requirements.iter().filter(|requirement| !has(requirement.name()));
        let record = BuildRecord {
            missing: missing
                .map(|requirement| requirement.told().into_owned())
                .collect(),
            inputs: exact_inputs(&output.package(), &requirements, lock.as_ref()),
            recipe: recipe_digest(output, &content)?,
            content: content_digest(&content),
            based_on: BaseRelease::before(output)?,
            cascade,
            rebuilt_by: self.cascade().cloned(),
        };
        let provenance = Provenance {
            format: 1,
            tool: TOOL.to_owned(),
            inputs,
            outs: outs_of(output, tracked)?,
            record: Some(record),
        };
        Ok((provenance, content))
    }
}

/// The requirements that count for a build: those of every use, and those of groups that make content.
fn generative<'a>(output: &'a Output, env: &MarkerEnv, settings: &Settings) -> Vec<&'a Requirement> {
    let groups: Vec<_> = settings.generative.iter().cloned().collect();
    let requires = output.project.metadata.requires_dist.iter();
    requires
        .filter(|requirement| requirement.applies(env, &groups))
        .collect()
}

/// The locked packages for requirements, with their transitive requirements.
fn exact_inputs(own: &PackageName, requirements: &[&Requirement], lock: Option<&Lock>) -> Vec<ExactInput> {
    let Some(lock) = lock else {
        return Vec::new();
    };
    let mut found: BTreeMap<&PackageName, ExactInput> = BTreeMap::new();
    let mut seen: BTreeSet<&PackageName> = BTreeSet::from([own]);
    let mut pending: Vec<&PackageName> = requirements
        .iter()
        .map(|requirement| requirement.name())
        .collect();
    while let Some(name) = pending.pop() {
        if !seen.insert(name) {
            continue;
        }
        let Some(package) = lock.package(name) else {
            continue;
        };
        pending.extend(&package.needs);
        let input = ExactInput {
            package: name.clone(),
            version: package.version.clone(),
            sha256: package.sha256,
            editable: package.editable.is_some(),
        };
        found.insert(name, input);
    }
    found.into_values().collect()
}

/// How cascades treat an asset, as its project says.
pub(crate) fn cascade_settings(output: &Output) -> Result<Settings> {
    let path = output.project.root.join("pyproject.toml");
    let bad = |reason: String| WorkspaceError::BadConfig {
        path: path.clone(),
        reason,
    };
    let project: toml::Table =
        toml::from_str(&fs_err::read_to_string(&path)?).map_err(|e| bad(e.to_string()))?;
    let table = project
        .get("tool")
        .and_then(|tool| tool.get("backlot")?.get("cascade"));
    let Some(table) = table else {
        return Ok(Settings::default());
    };
    let known = [
        "handling",
        "frozen",
        "prereleases",
        "bump",
        "generative",
        "resources",
    ];
    let mut keys = table.as_table().into_iter().flat_map(toml::Table::keys);
    if let Some(key) = keys.find(|key| !known.contains(&key.as_str())) {
        let near = text::nearest(key, known).map(|near| format!("; is it `{near}`?"));
        let near = near.unwrap_or_default();
        return Err(bad(format!("`[tool.backlot.cascade]` has no key `{key}`{near}")).into());
    }
    let settings = table.clone().try_into();
    settings.map_err(|e: toml::de::Error| bad(format!("`[tool.backlot.cascade]`: {}", e.message())).into())
}
