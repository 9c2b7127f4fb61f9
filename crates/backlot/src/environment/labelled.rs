//! An input that follows a label, as `Table@hero`: its syntax, and the versions that a label excludes.
//!
//! Deliberately absent: where labels are (`following.rs`).

use backlot_pep::{PackageName, Version};

use crate::workspace::policies::check_label;

/// Where a label was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Labelled {
    /// At this version, in a repo.
    At(Version, String),
    /// At this version when the lock was written.
    Locked(Version),
    /// Nowhere.
    Nowhere,
}

/// A requirement that follows a label: the requirement, and the label. `None` for all others, as those with a URL.
pub(crate) fn split_label(text: &str) -> Option<(&str, &str)> {
    let (asset, label) = text.rsplit_once('@')?;
    let (asset, label) = (asset.trim(), label.trim());
    let name = match asset.split_once('[') {
        Some((name, groups)) if groups.ends_with(']') => name,
        Some(_) => return None,
        None => asset,
    };
    let is_plain = |c: char| c.is_alphanumeric() || "-_.".contains(c);
    let is_name = name.chars().all(is_plain) && PackageName::of_asset(name).is_ok();
    (is_name && check_label(label).is_ok()).then_some((asset, label))
}

impl Labelled {
    /// Why a version of a package does not match a label.
    pub(crate) fn against(&self, label: &str, version: &Version) -> Option<String> {
        match self {
            Self::At(at, _) | Self::Locked(at) if at == version => None,
            Self::At(at, repo) => Some(format!("is not `@{label}`, which is {at} in `{repo}`")),
            Self::Locked(at) => Some(format!("is not `@{label}`, which was {at} when it was locked")),
            Self::Nowhere => Some(format!("is not `@{label}`, which no repo has")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::split_label;

    #[test]
    fn a_label_follows_a_name_and_a_url_is_none() {
        assert_eq!(split_label("Table@hero"), Some(("Table", "hero")));
        assert_eq!(split_label("Table[build]@hero"), Some(("Table[build]", "hero")));
        for other in [
            "Table",
            "Table==1.0",
            "Rug @ https://host/rug-1.0-py3-none-any.whl",
            "Rug @ file:///srv/rug@hero",
            "Table@1.0",
            "Table>=1@hero",
            "@hero",
        ] {
            assert_eq!(split_label(other), None, "{other}");
        }
    }
}
