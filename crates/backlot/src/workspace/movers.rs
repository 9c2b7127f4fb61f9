//! `[[mover]]` of the user's configuration: the programs that move large objects of stores.
//!
//! `url` is the beginning of the addresses of stores, `command` a text, split at blanks, or a list of words, `min-bytes` the
//! smallest object that is moved. The longest `url` wins. Deliberately absent: this section in `backlot.toml`, where it would
//! let a project start programs.

use backlot_backend::Mover;
use backlot_net::{UrlPrefix, server_url};
use url::Url;

use crate::error::{Result, WorkspaceError};
use crate::workspace::settings::Host;
use crate::workspace::user_file::UserFile;

impl Host {
    /// The program that moves the large objects of the store at a URL, if the user names one.
    pub(crate) fn mover(&self, url: &str) -> Result<Option<Mover>> {
        let bad = |reason: String| WorkspaceError::BadConfig {
            path: self.user_config.clone().unwrap_or_default(),
            reason: format!("[[mover]]: {reason}"),
        };
        let Ok(url) = Url::parse(url) else {
            return Ok(None);
        };
        let url = server_url(&url);
        let mut best: Option<(usize, Mover)> = None;
        for section in UserFile::load(self.user_config.as_deref())?
            .mover
            .unwrap_or_default()
        {
            let prefix = UrlPrefix::parse(&section.url).map_err(|e| bad(e.to_string()))?;
            let words = section.command.into_words();
            if words.is_empty() {
                return Err(bad("`command` has no program".to_owned()).into());
            }
            if prefix.covers(&url) && best.as_ref().is_none_or(|(length, _)| *length < prefix.length()) {
                let min_bytes = section.min_bytes.unwrap_or(Mover::MIN_BYTES);
                best = Some((prefix.length(), Mover { words, min_bytes }));
            }
        }
        Ok(best.map(|(_, mover)| mover))
    }
}
