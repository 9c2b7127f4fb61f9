//! Which releases may be chosen at all: what `[policy]` of `backlot.toml` says of the workspace, of its repos, and of assets.
//!
//! Invariant: a policy of an asset takes precedence over one of a repo, and that over one of the workspace. Deliberately absent: changing
//! it (`set_policy.rs`), choosing (`environment/resolution.rs`), and outputs and files of URLs, which are what their workspace says they are.

use std::collections::BTreeMap;

use backlot_core::text;
use backlot_pep::PackageName;
use backlot_resolve::PrereleasePolicy;
use serde::{Deserialize, Serialize};
use toml_edit::{DocumentMut, Item, Table, TableLike};

/// The keys of `[policy]`.
pub(crate) const POLICY_KEYS: [&str; 4] = ["status", "prereleases", "repos", "assets"];
/// The keys of an asset there.
pub(crate) const ASSET_KEYS: [&str; 3] = ["status", "prereleases", "label"];

/// The most characters of a label.
const LONGEST_LABEL: usize = 64;

/// The status that a release has to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RequiredStatus {
    /// Any that is not yanked.
    Any,
    /// Approved releases.
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

pub(super) static PRERELEASES: [(PrereleasePolicy, &str); 3] = [
    (PrereleasePolicy::Allow, "allow"),
    (PrereleasePolicy::IfNecessary, "if-necessary"),
    (PrereleasePolicy::Disallow, "disallow"),
];

/// The policies for releases.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policies {
    /// The status that all have to have.
    pub status: Option<RequiredStatus>,
    /// When pre-releases may be chosen.
    pub prereleases: Option<PrereleasePolicy>,
    /// The status that those of a repo have to have.
    pub repos: BTreeMap<String, RequiredStatus>,
    /// The policies for assets.
    pub assets: BTreeMap<PackageName, AssetPolicy>,
}

/// The policy for the releases of an asset.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct AssetPolicy {
    /// The status that they have to have.
    pub status: Option<RequiredStatus>,
    /// When pre-releases may be chosen.
    pub prereleases: Option<PrereleasePolicy>,
    /// The label that is followed.
    pub label: Option<String>,
}

/// For choices that no policy of a workspace counts in: what others can install.
pub(crate) static NO_POLICIES: Policies = Policies {
    status: None,
    prereleases: None,
    repos: BTreeMap::new(),
    assets: BTreeMap::new(),
};

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

    /// The label that an asset follows.
    pub(crate) fn label_of(&self, package: &PackageName) -> Option<&String> {
        self.assets.get(package)?.label.as_ref()
    }

    /// Follow a label of an asset, or none, without a word in a file.
    pub(crate) fn follow(&mut self, package: &PackageName, label: Option<&str>) {
        self.assets.entry(package.clone()).or_default().label = label.map(ToOwned::to_owned);
    }

    /// Whether a choice depends on what repos say beside their pages: approvals and labels.
    pub(crate) fn ask_events(&self) -> bool {
        if self.assets.values().any(|asset| asset.label.is_some()) {
            return true;
        }
        let of_assets = self.assets.values().filter_map(|asset| asset.status);
        let all = of_assets.chain(self.repos.values().copied()).chain(self.status);
        all.into_iter().any(|status| status != RequiredStatus::Any)
    }

    /// Read `[policy]`; the error is a reason for people.
    pub(super) fn read(document: &DocumentMut) -> Result<Self, String> {
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
                label: read_label(asset, &place)?,
            };
            policies.assets.insert(package, policy);
        }
        Ok(policies)
    }
}

/// Succeeds if a text is a valid label; else the rule for labels.
pub(crate) fn check_label(label: &str) -> Result<(), &'static str> {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_.".contains(c);
    if label.is_empty() || label.len() > LONGEST_LABEL || !label.chars().all(is_plain) {
        return Err("a label has 1 to 64 lower-case letters, digits, `-`, `_` and `.`");
    }
    if !label.starts_with(|c: char| c.is_ascii_lowercase()) {
        return Err("a label starts with a letter");
    }
    Ok(())
}

/// The entries of a table in a table.
fn below<'t>(table: &'t dyn TableLike, key: &str) -> impl Iterator<Item = (&'t str, &'t Item)> {
    let inner = table.get(key).and_then(Item::as_table_like);
    inner.into_iter().flat_map(TableLike::iter)
}

fn read_status(table: &dyn TableLike, place: &str) -> Result<Option<RequiredStatus>, String> {
    let item = table.get("status");
    item.map(|item| status_in(item, &format!("{place}.status")))
        .transpose()
}

fn status_in(item: &Item, place: &str) -> Result<RequiredStatus, String> {
    let found = RequiredStatus::ALL
        .into_iter()
        .find(|status| item.as_str() == Some(status.as_str()));
    found.ok_or_else(|| {
        wrong(
            item,
            place,
            RequiredStatus::ALL.map(RequiredStatus::as_str).as_slice(),
        )
    })
}

fn read_prereleases(table: &dyn TableLike, place: &str) -> Result<Option<PrereleasePolicy>, String> {
    let Some(item) = table.get("prereleases") else {
        return Ok(None);
    };
    let found = PRERELEASES
        .into_iter()
        .find(|(_, word)| item.as_str() == Some(*word));
    let words = PRERELEASES.map(|(_, word)| word);
    found
        .map(|(policy, _)| Some(policy))
        .ok_or_else(|| wrong(item, &format!("{place}.prereleases"), &words))
}

fn read_label(table: &dyn TableLike, place: &str) -> Result<Option<String>, String> {
    let Some(item) = table.get("label") else {
        return Ok(None);
    };
    let label = item.as_str().unwrap_or_default();
    check_label(label).map_err(|reason| format!("`{place}.label` is `{label}`; {reason}"))?;
    Ok(Some(label.to_owned()))
}

/// Why a value cannot be read.
fn wrong(item: &Item, place: &str, words: &[&str]) -> String {
    let given = item.as_str().unwrap_or_default();
    let nearest = text::nearest(given, words.iter().copied());
    let hint = nearest
        .map(|word| format!("; did you mean `{word}`?"))
        .unwrap_or_default();
    format!("`{place}` is not one of {}{hint}", words.join(", "))
}

/// A table in a table, made if it is not there.
pub(super) fn table_in<'t>(table: &'t mut Table, key: &str) -> &'t mut Table {
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

#[cfg(test)]
mod tests {
    use backlot_pep::PackageName;
    use backlot_resolve::PrereleasePolicy;

    use super::{Policies, RequiredStatus, check_label};

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
        assert!(policies.ask_events() && !Policies::default().ask_events());
    }

    #[test]
    fn what_cannot_be_read_is_named_with_what_is_meant() {
        let reason = policies("[policy]\nstatus = \"aproved\"\n").expect_err("refused");
        assert_eq!(
            reason,
            "`policy.status` is not one of any, approved; did you mean `approved`?"
        );
        let reason = policies("[policy.assets.Table]\nprereleases = 3\n").expect_err("refused");
        assert!(
            reason.starts_with("`policy.assets.Table.prereleases`"),
            "{reason}"
        );
    }

    #[test]
    fn a_label_is_a_plain_word_and_no_version() {
        for label in ["hero", "v2", "shot-10_final", "latest-approved"] {
            check_label(label).expect(label);
        }
        for label in ["", "Hero", "1.2", "a b", "x/y", "a@b", "-a", &"a".repeat(65)] {
            check_label(label).expect_err(label);
        }
    }
}
