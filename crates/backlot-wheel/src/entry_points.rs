//! `entry_points.txt`: groups of names and values.
//!
//! Values are not checked: the original engine stores free text in one group. Order is by name, so the same entry points
//! give the same bytes.

use std::collections::BTreeMap;

/// Entry points by group and name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EntryPoints(pub BTreeMap<String, BTreeMap<String, String>>);

impl EntryPoints {
    /// Read the INI text; lines that are neither a group nor `name = value` are passed over.
    pub fn parse(text: &str) -> Self {
        let mut groups: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
        let mut current = None;
        for line in text.lines().map(str::trim) {
            if line.is_empty() || line.starts_with(['#', ';']) {
                continue;
            }
            if let Some(group) = line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
                current = Some(group.trim().to_owned());
            } else if let (Some(group), Some((name, value))) = (&current, line.split_once('=')) {
                groups
                    .entry(group.clone())
                    .or_default()
                    .insert(name.trim().to_owned(), value.trim().to_owned());
            }
        }
        Self(groups)
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

#[cfg(test)]
mod tests {
    use super::EntryPoints;

    #[test]
    fn the_original_engines_file_round_trips() {
        let text = include_str!("../../../fixtures/tgzr/main_pack/wheel.entry_points.txt");
        let parsed = EntryPoints::parse(text);
        assert_eq!(parsed.to_text(), text);
        let trick = parsed.group("tgzr.pipeline.asset_info_trick").expect("there");
        assert_eq!(trick["asset_name"], "Main-Pack");
    }
}
