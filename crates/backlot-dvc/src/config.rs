//! `.dvc/config`: enough of DVC's configuration for real DVC to work in our workspaces, and to read where its remotes are.
//!
//! The format is `ConfigObj`'s INI: `[core]`, `['remote "name"']`, four spaces before entries, names in lower case.
//! Invariant: what is not understood is kept as text. Deliberately absent: the other levels (user, system, local), the
//! meaning of any option but the ones named here, and secrets.

use std::path::{Path, PathBuf};

use backlot_core::file;

use crate::error::{Error, Result};

/// A configuration file of DVC.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DvcConfig {
    sections: Vec<Section>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Section {
    name: String,
    entries: Vec<(String, String)>,
}

/// A remote as DVC knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DvcRemote {
    /// Its name.
    pub name: String,
    /// Its address as written: relative ones are relative to the folder of the file.
    pub url: String,
}

impl DvcConfig {
    /// The first line of files that we write, by which we know them again.
    pub const HEADER: &'static str = "# Written by backlot from backlot.toml; edits are lost.\n";

    /// The configuration of a workspace that is no git repository.
    pub fn no_scm() -> Self {
        let mut config = Self::default();
        config.set("core", "no_scm", "True");
        config
    }

    /// Read a configuration; an absent file is empty.
    pub fn load(path: &Path) -> Result<Self> {
        let bytes = file::read_if_exists(path)?.unwrap_or_default();
        let bad = || Error::BadConfig {
            path: path.to_path_buf(),
            line: 1,
            reason: "is not valid UTF-8",
        };
        Self::parse(path, std::str::from_utf8(&bytes).map_err(|_| bad())?)
    }

    /// Read a configuration. `path` is what errors call it.
    pub fn parse(path: &Path, text: &str) -> Result<Self> {
        let mut config = Self::default();
        let mut section = None;
        for (number, line) in text.lines().enumerate() {
            let bad = |reason| Error::BadConfig {
                path: path.to_path_buf(),
                line: number + 1,
                reason,
            };
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if let Some(rest) = line.strip_prefix('[') {
                let (name, after) = rest
                    .rsplit_once(']')
                    .ok_or_else(|| bad("the section has no closing `]`"))?;
                if !after.trim().is_empty() && !after.trim().starts_with('#') {
                    return Err(bad("unexpected text after the section"));
                }
                section = Some(config.section(&unquoted(name.trim()).to_lowercase()));
                continue;
            }
            let (key, value) = line.split_once('=').ok_or_else(|| bad("missing `=`"))?;
            let Some(section) = section else {
                return Err(bad("the entry is not in a section"));
            };
            let value = value_of(value.trim()).ok_or_else(|| bad("unterminated quote"))?;
            config.sections[section]
                .entries
                .push((unquoted(key.trim()).to_lowercase(), value));
        }
        Ok(config)
    }

    /// The file's text, with [`Self::HEADER`].
    pub fn to_text(&self) -> String {
        let mut text = Self::HEADER.to_owned();
        for section in &self.sections {
            let quote = if section.name.contains('"') { "'" } else { "" };
            text.extend(["[", quote, &section.name, quote, "]\n"]);
            for (key, value) in &section.entries {
                text.extend(["    ", key, " = ", &quoted(value), "\n"]);
            }
        }
        text
    }

    /// The value of an option.
    pub fn get(&self, section: &str, key: &str) -> Option<&str> {
        let section = self.sections.iter().find(|s| s.name == section)?;
        section
            .entries
            .iter()
            .rev()
            .find(|(k, _)| k == key)
            .map(|(_, value)| value.as_str())
    }

    /// Whether DVC works without git here.
    pub fn is_no_scm(&self) -> bool {
        self.get("core", "no_scm")
            .is_some_and(|v| matches!(v.to_lowercase().as_str(), "true" | "1" | "yes" | "on"))
    }

    /// The folder of the cache, as written.
    pub fn cache_dir(&self) -> Option<PathBuf> {
        self.get("cache", "dir").map(PathBuf::from)
    }

    /// The name of the default remote.
    pub fn default_remote(&self) -> Option<&str> {
        self.get("core", "remote")
    }

    /// All remotes that have an address.
    pub fn remotes(&self) -> Vec<DvcRemote> {
        let name = |s: &Section| Some(s.name.strip_prefix("remote \"")?.strip_suffix('"')?.to_owned());
        let names = self.sections.iter().filter_map(|s| Some((name(s)?, s)));
        names
            .filter_map(|(name, s)| {
                Some(DvcRemote {
                    name,
                    url: self.get(&s.name, "url")?.to_owned(),
                })
            })
            .collect()
    }

    /// Name the folder of the cache.
    pub fn set_cache_dir(&mut self, folder: &Path) {
        self.set("cache", "dir", &folder.display().to_string());
    }

    /// Name the default remote.
    pub fn set_default_remote(&mut self, name: &str) {
        self.set("core", "remote", &name.to_lowercase());
    }

    /// Add a remote, or change its address. DVC knows remotes by their names in lower case.
    pub fn add_remote(&mut self, name: &str, url: &str) {
        self.set_remote(name, "url", url);
    }

    /// Set an option of a remote.
    pub fn set_remote(&mut self, name: &str, key: &str, value: &str) {
        self.set(&format!("remote \"{}\"", name.to_lowercase()), key, value);
    }

    /// Set an option.
    pub fn set(&mut self, section: &str, key: &str, value: &str) {
        let section = self.section(section);
        let entries = &mut self.sections[section].entries;
        match entries.iter_mut().find(|(k, _)| k == key) {
            Some(entry) => value.clone_into(&mut entry.1),
            None => entries.push((key.to_owned(), value.to_owned())),
        }
    }

    fn section(&mut self, name: &str) -> usize {
        if let Some(at) = self.sections.iter().position(|s| s.name == name) {
            return at;
        }
        self.sections.push(Section {
            name: name.to_owned(),
            entries: Vec::new(),
        });
        self.sections.len() - 1
    }
}

fn unquoted(text: &str) -> &str {
    for quote in ['\'', '"'] {
        if let Some(inner) = text.strip_prefix(quote).and_then(|t| t.strip_suffix(quote)) {
            return inner;
        }
    }
    text
}

/// A value without its quotes and without a comment behind it. `None` if a quote is not closed.
fn value_of(text: &str) -> Option<String> {
    if let Some(quote) = text.chars().next().filter(|c| matches!(c, '\'' | '"')) {
        return text[1..].split_once(quote).map(|(value, _)| value.to_owned());
    }
    Some(text.split('#').next().unwrap_or(text).trim_end().to_owned())
}

/// Quoted where `ConfigObj` would read something else.
fn quoted(value: &str) -> String {
    let plain = !value.is_empty() && value.trim() == value && !value.contains(['#', ',', '\'', '"', '\n']);
    if plain {
        return value.to_owned();
    }
    let quote = if value.contains('"') { '\'' } else { '"' };
    format!("{quote}{value}{quote}")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use backlot_core::Diagnostic as _;

    use super::{DvcConfig, DvcRemote};

    #[test]
    fn what_dvc_wrote_is_read_and_written_alike() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/dvc/config");
        let text = fs_err::read_to_string(path).expect("readable");
        let config = DvcConfig::load(Path::new(path)).expect("parsed");
        assert!(config.is_no_scm());
        assert_eq!(config.default_remote(), Some("far"));
        assert_eq!(
            config.remotes(),
            [DvcRemote {
                name: "far".into(),
                url: "/mnt/remote".into()
            }]
        );
        assert_eq!(config.to_text(), format!("{}{text}", DvcConfig::HEADER));
    }

    #[test]
    fn our_configuration_reads_back() {
        let mut config = DvcConfig::no_scm();
        config.set_cache_dir(Path::new("/mnt/a b, #c/cache"));
        config.add_remote("Studio", "s3://bucket/x");
        config.set_default_remote("Studio");
        let read = DvcConfig::parse(Path::new("config"), &config.to_text()).expect("parsed");
        assert_eq!(read, config);
        assert_eq!(read.cache_dir().as_deref(), Some(Path::new("/mnt/a b, #c/cache")));
        assert_eq!(read.default_remote(), Some("studio"));
    }

    #[test]
    fn bad_lines_are_named() {
        for (text, line) in [
            ("url = x\n", 1),
            ("[core]\nremote\n", 2),
            ("[core\n", 1),
            ("[core]\n\na = 'x\n", 3),
        ] {
            let error = DvcConfig::parse(Path::new("config"), text).expect_err("refused");
            assert_eq!(error.code(), "dvc::bad_config");
            assert!(error.to_string().contains(&format!("line {line}")), "{error}");
        }
    }
}
