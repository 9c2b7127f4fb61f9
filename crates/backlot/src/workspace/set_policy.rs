//! Changing which releases may be chosen: `[policy]` of `backlot.toml`.
//!
//! Invariant: a value that its file would be refused with is not written. Deliberately absent: what it means (`policies.rs`).

use backlot_core::options;
use backlot_pep::PackageName;
use backlot_resolve::PrereleasePolicy;
use serde::{Deserialize, Serialize};
use toml_edit::{Item, Table, TableLike, value};

use crate::error::{EditError, Result};
use crate::workspace::Opened;
use crate::workspace::config::Config;
use crate::workspace::policies::{PRERELEASES, Policies, RequiredStatus, check_label, table_in};

options! {
    /// A change of the policy for releases: of an asset, of a repo, or of all.
    #[derive(Default)]
    pub struct PolicyChange {
        /// The asset.
        pub asset: Option<String>,
        /// The repo.
        pub repo: Option<String>,
        /// The status that releases have to have.
        pub status: Option<RequiredStatus>,
        /// When pre-releases may be chosen.
        pub prereleases: Option<PrereleasePolicy>,
        /// The label that is followed; only of an asset.
        pub label: Option<String>,
        /// Remove the previous policy.
        pub reset: bool,
        /// Change nothing.
        pub dry_run: bool,
    }
}

/// The policy for the releases of one subject.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PolicyRow {
    /// Of what.
    #[serde(flatten)]
    pub of: PolicyScope,
    /// The status that they have to have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<RequiredStatus>,
    /// When pre-releases may be chosen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prereleases: Option<PrereleasePolicy>,
    /// The label that is followed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
}

/// The subject of the policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "scope", content = "name", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum PolicyScope {
    /// All.
    Workspace,
    /// Those of a repo.
    Repo(String),
    /// Those of an asset.
    Asset(PackageName),
}

/// The policy, in lines.
fn rows_of(policies: &Policies) -> Vec<PolicyRow> {
    let mut rows = vec![PolicyRow {
        of: PolicyScope::Workspace,
        status: Some(policies.status.unwrap_or(RequiredStatus::Any)),
        prereleases: Some(policies.prereleases.unwrap_or_default()),
        label: None,
    }];
    rows.extend(policies.repos.iter().map(|(repo, status)| PolicyRow {
        of: PolicyScope::Repo(repo.clone()),
        status: Some(*status),
        prereleases: None,
        label: None,
    }));
    rows.extend(policies.assets.iter().map(|(package, asset)| PolicyRow {
        of: PolicyScope::Asset(package.clone()),
        status: asset.status,
        prereleases: asset.prereleases,
        label: asset.label.clone(),
    }));
    rows
}

impl Config {
    /// Change the policy for releases.
    fn change_policy(&mut self, of: &PolicyScope, change: &PolicyChange) {
        let status = change.status.map(RequiredStatus::as_str);
        let word = |policy| PRERELEASES.iter().find(|(known, _)| *known == policy);
        let prereleases = change.prereleases.and_then(word).map(|(_, word)| *word);
        let policy = self.section("policy");
        let keys = [("status", status), ("prereleases", prereleases)];
        let label = ("label", change.label.as_deref());
        match of {
            PolicyScope::Workspace => put(policy, keys, change.reset),
            PolicyScope::Repo(name) => {
                put(table_in(policy, "repos"), [(name.as_str(), status)], change.reset);
            }
            PolicyScope::Asset(package) => {
                let assets = table_in(policy, "assets");
                // Under whatever spelling it was written before.
                let written = assets.iter().map(|(key, _)| key.to_owned());
                let written = written
                    .filter(|key| PackageName::of_asset(key).is_ok_and(|known| known == *package))
                    .last();
                let key = written.unwrap_or_else(|| package.to_string());
                let [status, prereleases] = keys;
                put(table_in(assets, &key), [status, prereleases, label], change.reset);
                if assets
                    .get(&key)
                    .and_then(Item::as_table_like)
                    .is_some_and(TableLike::is_empty)
                {
                    assets.remove(&key);
                }
            }
        }
        self.tidy_policy();
    }

    /// Follow a label of an asset, or none.
    pub(crate) fn follow(&mut self, package: &PackageName, label: Option<&str>) -> Result<()> {
        if self.policies.label_of(package).map(String::as_str) == label {
            return Ok(());
        }
        let of = PolicyScope::Asset(package.clone());
        match label {
            Some(label) => self.change_policy(&of, &PolicyChange::new().label(label.to_owned())),
            None => {
                // All of it again but the label.
                let before = self.policies.assets.get(package).cloned().unwrap_or_default();
                let kept = PolicyChange::new()
                    .status(before.status)
                    .prereleases(before.prereleases)
                    .reset(true);
                self.change_policy(&of, &kept);
            }
        }
        self.read_policies()
    }
}

/// Set keys that have a value; with `reset`, drop the others.
fn put<const N: usize>(table: &mut Table, keys: [(&str, Option<&str>); N], reset: bool) {
    for (key, text) in keys {
        match text {
            Some(text) => drop(table.insert(key, value(text))),
            None if reset => drop(table.remove(key)),
            None => {}
        }
    }
}

impl Opened {
    pub(crate) fn policy_rows(&self) -> Vec<PolicyRow> {
        rows_of(&self.config().policies)
    }

    /// Change the policy for releases. It takes effect with the next install.
    pub(crate) fn set_policy(&mut self, change: &PolicyChange) -> Result<Vec<PolicyRow>> {
        if let Some(label) = &change.label {
            check_label(label).map_err(|reason| EditError::BadLabel {
                label: label.clone(),
                reason,
            })?;
        }
        let of = match (&change.asset, &change.repo) {
            (Some(asset), _) => PolicyScope::Asset(PackageName::of_asset(asset)?),
            (None, Some(repo)) => PolicyScope::Repo(self.repo_entry(repo)?.name.clone()),
            (None, None) => PolicyScope::Workspace,
        };
        self.change(change.dry_run, |workspace| {
            workspace.config.change_policy(&of, change);
            workspace.config.read_policies()?;
            let rows = workspace.policy_rows();
            if !change.dry_run {
                workspace.config.save()?;
            }
            Ok(rows)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use backlot_pep::PackageName;
    use backlot_resolve::PrereleasePolicy;

    use super::{PolicyChange, PolicyScope};
    use crate::workspace::config::Config;
    use crate::workspace::policies::RequiredStatus;

    #[test]
    fn a_change_that_is_reset_leaves_the_file_as_it_was() {
        let mut config = Config::new(Path::new("ws")).expect("a configuration");
        let before = config.text();
        let table = PolicyScope::Asset(PackageName::parse("table").expect("a name"));
        let disallow = PolicyChange::new().prereleases(Some(PrereleasePolicy::Disallow));
        let approved = PolicyChange::new().status(Some(RequiredStatus::Approved));
        for (of, change) in [(&table, &disallow), (&PolicyScope::Workspace, &approved)] {
            config.change_policy(of, change);
        }
        let package = PackageName::parse("table").expect("a name");
        config.follow(&package, Some("hero")).expect("followed");
        let said = &config.policies;
        assert_eq!(said.status, Some(RequiredStatus::Approved));
        assert_eq!(said.label_of(&package).map(String::as_str), Some("hero"));
        config.follow(&package, None).expect("not followed");
        assert_eq!(config.policies.label_of(&package), None);
        let of_table = config
            .policies
            .assets
            .get(&package)
            .expect("what was said before stays");
        assert_eq!(of_table.prereleases, Some(PrereleasePolicy::Disallow));
        for of in [&table, &PolicyScope::Workspace] {
            config.change_policy(of, &PolicyChange::new().reset(true));
        }
        assert_eq!(config.text(), before);
    }
}
