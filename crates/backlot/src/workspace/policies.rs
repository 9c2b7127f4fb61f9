//! Which releases may be chosen at all: the `[policy]` of `backlot.toml`, of the workspace, of one of its repos, or of an asset.
//!
//! Invariant: what is said of an asset counts before what is said of a repo, and that before what is said of the workspace. Deliberately absent: choosing
//! (`environment/resolution.rs`), and outputs and files of URLs, which are what their workspace says they are.

use std::collections::BTreeMap;

use backlot_core::{options, text};
use backlot_pep::PackageName;
use backlot_resolve::PrereleasePolicy;
use serde::{Deserialize, Serialize};
use toml_edit::{DocumentMut, Item, Table, TableLike, value};

use crate::error::Result;
use crate::workspace::Opened;
use crate::workspace::config::Config;

/// The keys of `[policy]`.
pub(crate) const POLICY_KEYS: [&str; 4] = ["status", "prereleases", "repos", "assets"];
/// The keys of an asset there.
pub(crate) const ASSET_KEYS: [&str; 2] = ["status", "prereleases"];

/// The status that a release has to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RequiredStatus {
    /// Any that is not yanked.
    Any,
    /// Somebody approved it.
    Approved,
}

impl RequiredStatus {
    const ALL: [Self; 2] = [Self::Any, Self::Approved];

    /// The word for it in `backlot.toml`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Any => "any",
            Self::Approved => "approved",
        }
    }
}

const PRERELEASES: [(PrereleasePolicy, &str); 3] = [
    (PrereleasePolicy::Allow, "allow"),
    (PrereleasePolicy::IfNecessary, "if-necessary"),
    (PrereleasePolicy::Disallow, "disallow"),
];

/// What is said of releases.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policies {
    /// The status that all have to have.
    pub status: Option<RequiredStatus>,
    /// When pre-releases may be chosen.
    pub prereleases: Option<PrereleasePolicy>,
    /// The status that those of a repo have to have.
    pub repos: BTreeMap<String, RequiredStatus>,
    /// What is said of assets.
    pub assets: BTreeMap<PackageName, AssetPolicy>,
}

/// What is said of the releases of an asset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct AssetPolicy {
    /// The status that they have to have.
    pub status: Option<RequiredStatus>,
    /// When pre-releases may be chosen.
    pub prereleases: Option<PrereleasePolicy>,
}

options! {
    /// A change of what is said of releases: of an asset, of a repo, or of all.
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
        /// Drop what was said before.
        pub reset: bool,
        /// Change nothing.
        pub dry_run: bool,
    }
}

/// What is said of the releases of one thing.
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
}

/// Of which releases something is said.
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

impl Policies {
    /// The status that a release of a package in a repo has to have.
    pub(crate) fn status_of(&self, package: &PackageName, repo: &str) -> RequiredStatus {
        let of_asset = self.assets.get(package).and_then(|asset| asset.status);
        let of_repo = || self.repos.get(repo).copied();
        of_asset
            .or_else(of_repo)
            .or(self.status)
            .unwrap_or(RequiredStatus::Any)
    }

    /// Whether a status has to be looked up for any release.
    pub(crate) fn ask_status(&self) -> bool {
        let of_assets = self.assets.values().filter_map(|asset| asset.status);
        let all = of_assets.chain(self.repos.values().copied()).chain(self.status);
        all.into_iter().any(|status| status != RequiredStatus::Any)
    }

    /// Read `[policy]`; the error is a reason for people.
    pub(crate) fn read(document: &DocumentMut) -> Result<Self, String> {
        let mut policies = Self::default();
        let Some(table) = document.get("policy").and_then(Item::as_table_like) else {
            return Ok(policies);
        };
        policies.status = read_status(table, "policy")?;
        policies.prereleases = read_prereleases(table, "policy")?;
        for (repo, item) in below(table, "repos") {
            let status = status_in(item, &format!("policy.repos.{repo}"))?;
            policies.repos.insert(repo.to_owned(), status);
        }
        for (name, item) in below(table, "assets") {
            let place = format!("policy.assets.{name}");
            let package = PackageName::of_asset(name).map_err(|e| format!("`{place}`: {e}"))?;
            let asset = item
                .as_table_like()
                .ok_or_else(|| format!("`{place}` is not a table"))?;
            let policy = AssetPolicy {
                status: read_status(asset, &place)?,
                prereleases: read_prereleases(asset, &place)?,
            };
            policies.assets.insert(package, policy);
        }
        Ok(policies)
    }

    fn rows(&self) -> Vec<PolicyRow> {
        let mut rows = vec![PolicyRow {
            of: PolicyScope::Workspace,
            status: Some(self.status.unwrap_or(RequiredStatus::Any)),
            prereleases: Some(self.prereleases.unwrap_or_default()),
        }];
        rows.extend(self.repos.iter().map(|(repo, status)| PolicyRow {
            of: PolicyScope::Repo(repo.clone()),
            status: Some(*status),
            prereleases: None,
        }));
        rows.extend(self.assets.iter().map(|(package, asset)| PolicyRow {
            of: PolicyScope::Asset(package.clone()),
            status: asset.status,
            prereleases: asset.prereleases,
        }));
        rows
    }
}

/// The entries of a table in a table.
fn below<'t>(table: &'t dyn TableLike, key: &str) -> impl Iterator<Item = (&'t str, &'t Item)> {
    let inner = table.get(key).and_then(Item::as_table_like);
    inner.into_iter().flat_map(TableLike::iter)
}

fn read_status(table: &dyn TableLike, place: &str) -> Result<Option<RequiredStatus>, String> {
    let item = table.get("status");
    item.map(|item| status_in(item, &format!("{place}.status"))).transpose()
}

fn status_in(item: &Item, place: &str) -> Result<RequiredStatus, String> {
    let found = RequiredStatus::ALL
        .into_iter()
        .find(|status| item.as_str() == Some(status.as_str()));
    found.ok_or_else(|| wrong(item, place, RequiredStatus::ALL.map(RequiredStatus::as_str).as_slice()))
}

fn read_prereleases(table: &dyn TableLike, place: &str) -> Result<Option<PrereleasePolicy>, String> {
    let Some(item) = table.get("prereleases") else {
        return Ok(None);
    };
    let found = PRERELEASES.into_iter().find(|(_, word)| item.as_str() == Some(word));
    let words = PRERELEASES.map(|(_, word)| word);
    found
        .map(|(policy, _)| Some(policy))
        .ok_or_else(|| wrong(item, &format!("{place}.prereleases"), &words))
}

/// Why a value cannot be read.
fn wrong(item: &Item, place: &str, words: &[&str]) -> String {
    let given = item.as_str().unwrap_or_default();
    let nearest = text::nearest(given, words.iter().copied());
    let hint = nearest.map(|word| format!("; is it `{word}`?")).unwrap_or_default();
    format!("`{place}` is none of {}{hint}", words.join(", "))
}

impl Config {
    /// Change what is said of releases.
    fn change_policy(&mut self, of: &PolicyScope, change: &PolicyChange) {
        let status = change.status.map(RequiredStatus::as_str);
        let word = |policy| PRERELEASES.iter().find(|(known, _)| *known == policy);
        let prereleases = change.prereleases.and_then(word).map(|(_, word)| *word);
        let policy = self.section("policy");
        let keys = [("status", status), ("prereleases", prereleases)];
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
                put(table_in(assets, &key), keys, change.reset);
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

    /// Drop what is said of a repo that goes.
    pub(crate) fn forget_policy_of(&mut self, repo: &str) {
        if self.policies.repos.remove(repo).is_some() {
            table_in(self.section("policy"), "repos").remove(repo);
            self.tidy_policy();
        }
    }

    /// Leave no empty tables behind.
    fn tidy_policy(&mut self) {
        let policy = self.section("policy");
        for key in ["repos", "assets"] {
            let inner = policy.get(key).and_then(Item::as_table_like);
            if inner.is_some_and(TableLike::is_empty) {
                policy.remove(key);
            }
        }
        if policy.is_empty() {
            self.drop_section("policy");
        }
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

/// A table in a table, made if it is not there.
fn table_in<'t>(table: &'t mut Table, key: &str) -> &'t mut Table {
    let item = table.entry(key).or_insert_with(|| {
        let mut made = Table::new();
        made.set_implicit(true);
        Item::Table(made)
    });
    if !item.is_table() {
        let inline = item.as_inline_table().cloned();
        *item = Item::Table(inline.map(toml_edit::InlineTable::into_table).unwrap_or_default());
    }
    item.as_table_mut().expect("it was just made a table")
}

impl Opened {
    pub(crate) fn policies(&self) -> Vec<PolicyRow> {
        self.config().policies.rows()
    }

    /// Change what is said of releases. What is chosen by it is chosen by the next install.
    pub(crate) fn set_policy(&mut self, change: &PolicyChange) -> Result<Vec<PolicyRow>> {
        let of = match (&change.asset, &change.repo) {
            (Some(asset), _) => PolicyScope::Asset(PackageName::of_asset(asset)?),
            (None, Some(repo)) => PolicyScope::Repo(self.repo_entry(repo)?.name.clone()),
            (None, None) => PolicyScope::Workspace,
        };
        self.change(change.dry_run, |workspace| {
            workspace.config.change_policy(&of, change);
            workspace.config.read_policies()?;
            let rows = workspace.policies();
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

    use super::{Policies, PolicyChange, PolicyScope, RequiredStatus};
    use crate::workspace::config::Config;

    fn policies(text: &str) -> Result<Policies, String> {
        Policies::read(&text.parse().expect("TOML"))
    }

    #[test]
    fn what_is_said_of_an_asset_counts_before_its_repo_and_that_before_the_workspace() {
        let said = "[policy]\nstatus = \"approved\"\n[policy.repos]\nreview = \"any\"\n[policy.assets]\nTable = { status = \"approved\", prereleases = \"disallow\" }\n";
        let policies = policies(said).expect("read");
        let (table, lamp) = (
            PackageName::parse("table").expect("a name"),
            PackageName::parse("lamp").expect("a name"),
        );
        for (package, repo, status) in [
            (&lamp, "blessed", RequiredStatus::Approved),
            (&lamp, "review", RequiredStatus::Any),
            (&table, "review", RequiredStatus::Approved),
        ] {
            assert_eq!(policies.status_of(package, repo), status, "{package} {repo}");
        }
        let of_table = policies.assets.get(&table).expect("said");
        assert_eq!(of_table.prereleases, Some(PrereleasePolicy::Disallow));
        assert!(policies.ask_status() && !Policies::default().ask_status());
    }

    #[test]
    fn what_cannot_be_read_is_named_with_what_is_meant() {
        let reason = policies("[policy]\nstatus = \"aproved\"\n").expect_err("refused");
        assert_eq!(
            reason,
            "`policy.status` is none of any, approved; is it `approved`?"
        );
        let reason = policies("[policy.assets.Table]\nprereleases = 3\n").expect_err("refused");
        assert!(reason.starts_with("`policy.assets.Table.prereleases`"), "{reason}");
    }

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
        let said = policies(&config.text()).expect("read");
        assert_eq!(said.status, Some(RequiredStatus::Approved));
        assert_eq!(said.assets.len(), 1);
        for of in [&table, &PolicyScope::Workspace] {
            config.change_policy(of, &PolicyChange::new().reset(true));
        }
        assert_eq!(config.text(), before);
    }
}
