//! How far the events of some repos are read.
//!
//! Deliberately absent: which repos there are.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use backlot_repo::FeedPosition;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::{EventsError, Result};

/// A position in the events of each of some repos, as text: `review:12,site:4`. What is before it was read.
///
/// ```
/// use backlot::EventCursor;
///
/// let cursor: EventCursor = "review:12,site:4.2".parse().unwrap();
/// assert_eq!(cursor.to_string(), "review:12,site:4.2");
/// assert!("review".parse::<EventCursor>().is_err());
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct EventCursor {
    positions: BTreeMap<String, FeedPosition>,
    /// One that names no repo.
    bare: Option<FeedPosition>,
}

impl EventCursor {
    /// The position in a repo; `None` if it is not named.
    pub(crate) fn of(&self, repo: &str) -> Option<FeedPosition> {
        self.positions.get(repo).copied()
    }

    pub(crate) fn set(&mut self, repo: &str, position: FeedPosition) {
        self.positions.insert(repo.to_owned(), position);
    }

    /// The same for some repos: one that names none is for the only one, or `0` for all. A repo that is not named is read from its beginning.
    pub(crate) fn for_repos(&self, repos: &[&str]) -> Result<Self> {
        let bad = |reason: String| {
            EventsError::BadCursor {
                text: self.to_string(),
                reason,
            }
            .into()
        };
        if let Some(bare) = self.bare
            && bare != FeedPosition::START
            && repos.len() > 1
        {
            return Err(bad(format!("it has no repo, and there are {}", repos.join(", "))));
        }
        if let Some(unknown) = self.positions.keys().find(|name| !repos.contains(&name.as_str())) {
            return Err(bad(format!("`{unknown}` is not one of the repos being read")));
        }
        let mut cursor = Self::default();
        for repo in repos {
            let position = self.of(repo).or(self.bare).unwrap_or(FeedPosition::START);
            cursor.set(repo, position);
        }
        Ok(cursor)
    }
}

impl fmt::Display for EventCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(bare) = self.bare {
            return bare.fmt(f);
        }
        for (at, (repo, position)) in self.positions.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            write!(f, "{comma}{repo}:{position}")?;
        }
        Ok(())
    }
}

impl FromStr for EventCursor {
    type Err = EventsError;

    fn from_str(text: &str) -> Result<Self, EventsError> {
        let bad = |reason: &dyn fmt::Display| EventsError::BadCursor {
            text: text.to_owned(),
            reason: reason.to_string(),
        };
        if !text.contains(':') && !text.is_empty() {
            let bare = text.parse().map_err(|error| bad(&error))?;
            return Ok(Self {
                bare: Some(bare),
                ..Self::default()
            });
        }
        let mut cursor = Self::default();
        for part in text.split(',').filter(|part| !part.is_empty()) {
            let split = part.rsplit_once(':');
            let (repo, position) = split.ok_or_else(|| bad(&format!("`{part}` has no position")))?;
            cursor.set(repo, position.parse().map_err(|error| bad(&error))?);
        }
        Ok(cursor)
    }
}

impl Serialize for EventCursor {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for EventCursor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::EventCursor;

    #[test]
    fn a_cursor_without_names_is_for_one_repo_or_for_the_beginning_of_all() {
        let cursor = |text: &str| text.parse::<EventCursor>().expect("a cursor");
        let of = |text: &str, repos: &[&str]| cursor(text).for_repos(repos).map(|cursor| cursor.to_string());
        assert_eq!(of("12", &["review"]).expect("one"), "review:12");
        assert_eq!(of("0", &["review", "site"]).expect("all"), "review:0,site:0");
        assert_eq!(
            of("site:3", &["review", "site"]).expect("both"),
            "review:0,site:3"
        );
        assert!(of("12", &["review", "site"]).is_err());
        assert!(of("other:1", &["review"]).is_err());
        assert_eq!(cursor("").to_string(), "");
    }
}
