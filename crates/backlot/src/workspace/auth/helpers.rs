//! `[auth]` of the user's configuration: the commands that are asked for credentials.
//!
//! `helper` is asked about every server, those in `helpers` about the servers below their prefix; a command is a text, split at
//! blanks, or a list of words. `timeout` is in seconds. Deliberately absent: this section in `backlot.toml`, where it would let
//! a project start programs.

use std::sync::Arc;
use std::time::Duration;

use backlot_net::{CommandHelper, CommandHelpers, CredentialChain, CredentialFile, UrlPrefix};

use crate::error::{Result, WorkspaceError};
use crate::workspace::settings::Host;
use crate::workspace::user_file::UserFile;

/// The longest that a helper may be waited for.
const MAX_TIMEOUT: f64 = 3600.0;

/// The sources of a host: those that it was given, the helpers of the user's configuration, the protected file.
pub(crate) fn chain(host: &Host) -> Result<CredentialChain> {
    let mut chain = host.network.credentials.clone();
    if let Some(helpers) = UserFile::load(host.user_config.as_deref())?.helpers(host)? {
        chain = chain.with(Arc::new(helpers));
    }
    if let Some(file) = &host.credential_file {
        chain = chain.with(Arc::new(CredentialFile::new(file)));
    }
    Ok(chain)
}

impl UserFile {
    /// The helpers that the file names, if any.
    pub(crate) fn helpers(self, host: &Host) -> Result<Option<CommandHelpers>> {
        let bad = |reason: String| WorkspaceError::BadConfig {
            path: host.user_config.clone().unwrap_or_default(),
            reason: format!("[auth]: {reason}"),
        };
        let Some(section) = self.auth else {
            return Ok(None);
        };
        let mut helpers = Vec::new();
        let scoped = section
            .helpers
            .into_iter()
            .map(|(prefix, words)| (Some(prefix), words));
        for (prefix, words) in scoped.chain(section.helper.map(|words| (None, words))) {
            let prefix = prefix.map(|prefix| UrlPrefix::parse(&prefix).map_err(|e| bad(e.to_string())));
            let words = words.into_words();
            if words.is_empty() {
                return Err(bad("a helper has no program".to_owned()).into());
            }
            helpers.push(CommandHelper {
                words,
                prefix: prefix.transpose()?,
            });
        }
        let limit = match section.timeout {
            None => CommandHelpers::LIMIT,
            Some(seconds) if seconds > 0.0 && seconds <= MAX_TIMEOUT => Duration::from_secs_f64(seconds),
            Some(_) => {
                return Err(bad("`timeout` has to be a number of seconds, up to 3600".to_owned()).into());
            }
        };
        Ok((!helpers.is_empty()).then(|| CommandHelpers::new(helpers, limit)))
    }
}
