//! `entry_points.txt`: groups of names and values.
//!
//! Values are not checked: the original engine stores free text in one group. Order is by name, so the same entry points
//! give the same bytes. Invariant: an invalid line is reported, not skipped.

use std::collections::BTreeMap;

/// How many lines that are not understood are named.
const MAX_TOLD: usize = 5;
/// The most that is shown of one.
const MAX_SHOWN: usize = 80;

/// Entry points by group and name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EntryPoints(pub BTreeMap<String, BTreeMap<String, String>>);

/// The text of an `entry_points.txt` as it was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReadEntryPoints {
    /// The valid entries.
    pub points: EntryPoints,
    /// The invalid or meaningless ones: clauses for messages.
    pub problems: Vec<String>,
}

impl EntryPoints {
    /// Read the INI text as far as it is understood; see [`Self::read`].
    pub fn parse(text: &str) -> Self {
        Self::read(text).points
    }

    /// Read the INI text, and report lines that are not a group or a `name = value` in one, or that hide an entry.
    pub fn read(text: &str) -> ReadEntryPoints {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut groups: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
        let mut problems = Problems::default();
        let mut current = None;
        for line in text.lines().map(str::trim) {
            if line.is_empty() || line.starts_with(['#', ';']) {
                continue;
            }
            if let Some(group) = line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
                let group = group.trim();
                if let Some(meant) = meant(group) {
                    problems.add(line, &format!("did you mean the group `{meant}`?"));
                }
                current = Some(group.to_owned());
            } else if line.starts_with('[') {
                problems.add(line, "the group has no closing `]`");
                // The following lines belong to it, and not to the group before.
                current = None;
            } else {
                match (&current, line.split_once('=')) {
                    (Some(group), Some((name, value))) => {
                        let (name, value) = (name.trim().to_owned(), value.trim().to_owned());
                        let entries = groups.entry(group.clone()).or_default();
                        let value_is_new = |old: &String| *old != value;
                        if entries.get(&name).is_some_and(value_is_new) {
                            problems.add(line, "duplicate name; the last one is used");
                        }
                        entries.insert(name, value);
                    }
                    (None, Some(_)) => problems.add(line, "it is not in a group"),
                    (_, None) => problems.add(line, "it has no `=`"),
                }
            }
        }
        ReadEntryPoints {
            points: Self(groups),
            problems: problems.told(),
        }
    }

    /// The INI text; empty if there are none.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        for (group, entries) in self.0.iter().filter(|(_, entries)| !entries.is_empty()) {
            if !text.is_empty() {
                text.push('\n');
            }
            text.push_str(&format!("[{group}]\n"));
            for (name, value) in entries {
                let value = value
                    .split(['\r', '\n'])
                    .map(str::trim)
                    .collect::<Vec<_>>()
                    .join(" ");
                text.push_str(&format!("{name} = {value}\n"));
            }
        }
        text
    }

    /// A group, if it has entries.
    pub fn group(&self, name: &str) -> Option<&BTreeMap<String, String>> {
        self.0.get(name)
    }
}

/// The group of scripts that a group with different case is meant to be; installers compare names exactly.
fn meant(group: &str) -> Option<&'static str> {
    let known = ["console_scripts", "gui_scripts"];
    known
        .into_iter()
        .find(|known| group != *known && group.eq_ignore_ascii_case(known))
}

/// The first few lines that are not understood; the others are counted.
#[derive(Default)]
struct Problems {
    named: Vec<String>,
    more: usize,
}

impl Problems {
    fn add(&mut self, line: &str, reason: &str) {
        if self.named.len() == MAX_TOLD {
            self.more += 1;
            return;
        }
        let shown: String = line.chars().take(MAX_SHOWN).collect();
        let rest = if shown.len() < line.len() { "..." } else { "" };
        self.named.push(format!("`{shown}{rest}`: {reason}"));
    }

    fn told(mut self) -> Vec<String> {
        if self.more > 0 {
            self.named.push(format!("and {} more", self.more));
        }
        self.named
    }
}

#[cfg(test)]
mod tests {
    use super::EntryPoints;

    #[test]
    fn the_original_engines_file_round_trips() {
        let text = include_str!("../../../fixtures/tgzr/main_pack/wheel.entry_points.txt");
        let read = EntryPoints::read(text);
        assert!(read.problems.is_empty());
        assert_eq!(read.points.to_text(), text);
        let trick = read
            .points
            .group("tgzr.pipeline.asset_info_trick")
            .expect("there");
        assert_eq!(trick["asset_name"], "Main-Pack");
    }

    #[test]
    fn a_line_that_is_not_understood_is_told_and_gives_nothing_to_another_group() {
        for (text, reason) in [
            ("[console_scripts]\nok pk:main\n", "no `=`"),
            ("[console_scripts]\nok : pk:main\n", "no `=`"),
            ("[console_scripts\nok pk:main\n", "no closing `]`"),
            ("ok = pk:main\n", "not in a group"),
            ("[Console_Scripts]\nok = pk:main\n", "the group `console_scripts`"),
            (
                "[console_scripts]\nok = pk:other\nok = pk:main\n",
                "duplicate name",
            ),
        ] {
            let read = EntryPoints::read(text);
            assert!(read.problems[0].contains(reason), "{text}: {:?}", read.problems);
        }
        let read = EntryPoints::read("[gui_scripts]\na = b:c\n[other\nd = e:f\n");
        assert_eq!(
            read.points
                .group("gui_scripts")
                .map(std::collections::BTreeMap::len),
            Some(1)
        );
        let read = EntryPoints::read("\u{feff}[console_scripts]\nok = pk:main\n\n# x\n; y\nok = pk:main\n");
        assert!(read.problems.is_empty(), "{:?}", read.problems);
        assert_eq!(read.points.to_text(), "[console_scripts]\nok = pk:main\n");
        let read = EntryPoints::read(&"x\n".repeat(1000));
        assert_eq!(read.problems.last().map(String::as_str), Some("and 995 more"));
    }
}
