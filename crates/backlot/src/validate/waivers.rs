//! Waivers: an asset may be published though a check refuses it, for a reason, by somebody, until a day.
//!
//! They stand in `asset.toml` (`[[backlot.waive]]`), so they are part of the release and seen in a diff. Invariants: a finding that is waived is shown
//! as such, never hidden; a waiver that has expired, or is for other versions, has no effect and is said; one without reason, author or day is an error.

use backlot_core::Timestamp;
use backlot_core::wildcard::Wildcard;
use backlot_pep::{Specifiers, Version};
use backlot_repo::RecordedWaiver;
use backlot_wheel::AssetToml;
use serde::Deserialize;

use crate::error::{Result, ValidateError};
use crate::project::output::Output;
use crate::validate::found::{CheckItem, Outcome, Waiver, WaiverState};

/// A day in milliseconds.
const DAY: u64 = 24 * 60 * 60 * 1000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    check: String,
    reason: String,
    by: String,
    until: toml::Value,
    #[serde(default)]
    files: Option<String>,
    #[serde(default)]
    versions: Option<String>,
}

/// A waiver that an asset declares.
#[derive(Clone, Debug)]
pub(crate) struct DeclaredWaiver {
    pub(crate) check: String,
    waiver: RecordedWaiver,
    files: Option<String>,
    versions: Option<(String, Specifiers)>,
    /// The first moment at which it does not hold.
    end: Timestamp,
}

/// The waivers of an output.
pub(crate) fn waivers_of(output: &Output) -> Result<Vec<DeclaredWaiver>> {
    let mut waivers = Vec::new();
    for folder in output.module_folders() {
        let path = folder.join("asset.toml");
        if !path.is_file() {
            continue;
        }
        let Some(declared) = AssetToml::load(&path)?.backlot.remove("waive") else {
            continue;
        };
        let bad = |reason: String| ValidateError::BadCheck {
            path: path.display().to_string(),
            reason: format!("[[backlot.waive]]: {reason}"),
        };
        let entries: Vec<Entry> = declared
            .try_into()
            .map_err(|e: toml::de::Error| bad(e.message().to_owned()))?;
        for entry in entries {
            waivers.push(DeclaredWaiver::new(entry).map_err(bad)?);
        }
    }
    Ok(waivers)
}

impl DeclaredWaiver {
    fn new(entry: Entry) -> Result<Self, String> {
        for (key, text) in [("reason", &entry.reason), ("by", &entry.by)] {
            if text.trim().is_empty() {
                return Err(format!("the `{key}` of the waiver of `{}` is empty", entry.check));
            }
        }
        let until = match &entry.until {
            toml::Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let begin = (until.len() == 10)
            .then(|| Timestamp::parse(&format!("{until}T00:00:00Z")).ok())
            .flatten();
        let begin = begin.ok_or_else(|| {
            format!(
                "the `until` of the waiver of `{}` is not a day as in 2026-12-31",
                entry.check
            )
        })?;
        let versions = match entry.versions {
            None => None,
            Some(text) => {
                let parsed = Specifiers::parse(&text);
                let parsed =
                    parsed.map_err(|e| format!("`versions` of the waiver of `{}`: {e}", entry.check))?;
                Some((text, parsed))
            }
        };
        Ok(Self {
            check: entry.check,
            waiver: RecordedWaiver {
                reason: entry.reason.trim().to_owned(),
                by: entry.by.trim().to_owned(),
                until,
            },
            files: entry.files,
            versions,
            end: Timestamp(begin.0.saturating_add(DAY)),
        })
    }

    fn state(&self, version: &Version, now: Timestamp, waivable: bool) -> WaiverState {
        let is_other = |versions: &(String, Specifiers)| !versions.1.contains(version);
        if !waivable {
            WaiverState::NotAllowed
        } else if now >= self.end {
            WaiverState::Expired
        } else if self.versions.as_ref().is_some_and(is_other) {
            WaiverState::OtherVersion
        } else {
            WaiverState::Active
        }
    }
}

/// Apply the waivers of a check to what it found. Returns them, and whether all that it found is waived.
pub(crate) fn waive(
    waivers: &[DeclaredWaiver],
    (check, waivable): (&str, bool),
    (version, now): (&Version, Timestamp),
    (outcome, items): (Outcome, &mut [CheckItem]),
) -> (Vec<Waiver>, bool) {
    let mut shown = Vec::new();
    for declared in waivers.iter().filter(|waiver| waiver.check == check) {
        let state = declared.state(version, now, waivable);
        if state == WaiverState::Active {
            let files = declared.files.as_deref().map(Wildcard::new);
            for item in items.iter_mut() {
                let fits = |files: &Wildcard| item.path.as_deref().is_some_and(|path| files.fits(path));
                item.waived |= files.as_ref().is_none_or(fits);
            }
        }
        shown.push(Waiver {
            waiver: declared.waiver.clone(),
            files: declared.files.clone(),
            versions: declared.versions.as_ref().map(|(text, _)| text.clone()),
            state,
        });
    }
    let all = outcome != Outcome::Pass && !items.is_empty() && items.iter().all(|item| item.waived);
    (shown, all)
}

#[cfg(test)]
mod tests {
    use backlot_core::Timestamp;
    use backlot_pep::Version;

    use super::{DeclaredWaiver, Entry, waive};
    use crate::validate::found::{CheckItem, Outcome, WaiverState};

    fn declared(text: &str) -> Result<DeclaredWaiver, String> {
        let entry: Entry = toml::from_str(text).map_err(|e| e.message().to_owned())?;
        DeclaredWaiver::new(entry)
    }

    const FULL: &str = "check = \"a\"\nreason = \"r\"\nby = \"ana\"\nuntil = 2026-03-01\n";

    #[test]
    fn a_waiver_holds_until_the_end_of_its_last_day_and_for_its_versions_and_files() {
        let at = |time: &str| Timestamp::parse(time).expect("a time");
        let one = Version::parse("1.0").expect("a version");
        let outcome = |more: &str, time: &str, waivable: bool| {
            let waiver = declared(&format!("{FULL}{more}")).expect("a waiver");
            let mut items = [CheckItem::of("f/x.exr", "bad"), CheckItem::of_all("bad")];
            let (shown, all) = waive(
                &[waiver],
                ("a", waivable),
                (&one, at(time)),
                (Outcome::Fail, &mut items),
            );
            (shown[0].state, items[0].waived, all)
        };
        let last = "2026-03-01T23:59:59Z";
        assert_eq!(outcome("", last, true), (WaiverState::Active, true, true));
        let over = "2026-03-02T00:00:00Z";
        assert_eq!(outcome("", over, true), (WaiverState::Expired, false, false));
        assert_eq!(outcome("", last, false), (WaiverState::NotAllowed, false, false));
        assert_eq!(
            outcome("files = \"f/*\"", last, true),
            (WaiverState::Active, true, false)
        );
        assert_eq!(
            outcome("versions = \"<2\"", last, true),
            (WaiverState::Active, true, true)
        );
        let other = (WaiverState::OtherVersion, false, false);
        assert_eq!(outcome("versions = \">=2\"", last, true), other);
    }

    #[test]
    fn a_waiver_without_reason_author_or_day_is_an_error() {
        for (from, to, told) in [
            ("reason = \"r\"", "", "reason"),
            ("reason = \"r\"", "reason = \" \"", "`reason`"),
            ("by = \"ana\"", "by = \"\"", "`by`"),
            ("2026-03-01", "\"soon\"", "not a day"),
            ("2026-03-01", "2026-03-01T00:00:00Z", "not a day"),
            ("2026-03-01", "\"2026-02-30\"", "not a day"),
            ("by =", "who = \"x\"\nby =", "who"),
        ] {
            let error = declared(&FULL.replace(from, to)).expect_err(to);
            assert!(error.contains(told), "{told}: {error}");
        }
        assert!(declared(&FULL.replace("2026-03-01", "\"2026-03-01\"")).is_ok());
    }
}
