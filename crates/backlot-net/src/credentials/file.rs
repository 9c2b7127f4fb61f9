//! The protected file that `backlot auth login` writes: credentials by the prefix of an address.
//!
//! A JSON object: `format` (1) and `credentials`, a list of objects with `url` (a prefix, as [`UrlPrefix`] prints it), `user` and
//! `password`. Invariants: it is readable by its owner only, from its creation on, and is not read otherwise; it is replaced
//! atomically, by one writer at a time; what cannot be read is never overwritten. Deliberately absent: encryption, which a helper
//! that reaches the system's keyring has.

use std::fmt;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use backlot_core::file::{Staged, read_if_exists};
use backlot_core::{Context, FileError, FileLock};
use fs_err as fs;
use serde::{Deserialize, Serialize};

use super::{
    Credential, CredentialRequest, CredentialSource, FoundCredential, ListedCredential, SourceKind, UrlPrefix,
};
use crate::error::{Error, Result};

const FORMAT: u32 = 1;

/// How long another writer is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

/// The file, which need not be there.
///
/// ```
/// use backlot_core::Context;
/// use backlot_net::{Credential, CredentialFile, UrlPrefix};
///
/// let folder = tempfile::tempdir().unwrap();
/// let file = CredentialFile::new(folder.path().join("credentials.json"));
/// let team = UrlPrefix::parse("https://s3.studio.example/team").unwrap();
/// let ana = Credential {
///     user: "ana".to_owned(),
///     password: "secret".to_owned(),
/// };
/// file.store(&team, &ana, &Context::default()).unwrap();
/// assert_eq!(file.stored(&team).unwrap().as_deref(), Some("ana"));
/// ```
#[derive(Clone, Debug)]
pub struct CredentialFile {
    path: PathBuf,
}

#[derive(Serialize, Deserialize)]
struct Content {
    format: u32,
    credentials: Vec<StoredCredential>,
}

#[derive(Clone, Serialize, Deserialize)]
struct StoredCredential {
    url: String,
    user: String,
    password: String,
}

impl fmt::Debug for StoredCredential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredCredential")
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}

impl CredentialFile {
    /// The file at a path.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The user whose credential is stored for a prefix, exactly.
    pub fn stored(&self, prefix: &UrlPrefix) -> Result<Option<String>> {
        let entries = self.load()?;
        let found = entries.into_iter().find(|(known, _)| known == prefix);
        Ok(found.map(|(_, credential)| credential.user))
    }

    /// Store a credential for a prefix, in place of one that is there. Returns whose that was.
    pub fn store(
        &self,
        prefix: &UrlPrefix,
        credential: &Credential,
        context: &Context,
    ) -> Result<Option<String>> {
        self.change(context, |entries| {
            let replaced = take(entries, prefix);
            entries.push((prefix.clone(), credential.clone()));
            replaced
        })
    }

    /// Remove the credential of a prefix. Returns its user; `None` if not found.
    pub fn remove(&self, prefix: &UrlPrefix, context: &Context) -> Result<Option<String>> {
        self.change(context, |entries| take(entries, prefix))
    }

    fn change(
        &self,
        context: &Context,
        change: impl FnOnce(&mut Vec<(UrlPrefix, Credential)>) -> Option<String>,
    ) -> Result<Option<String>> {
        // A link to it, as keepers of dotfiles make them, stays one.
        let path = fs::canonicalize(&self.path).unwrap_or_else(|_| self.path.clone());
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(".lock");
        let _lock = FileLock::acquire(&path.with_file_name(name), PATIENCE, context)?;
        let mut entries = self.load()?;
        let before = entries.clone();
        let outcome = change(&mut entries);
        if entries == before {
            return Ok(outcome);
        }
        entries.sort_by(|a, b| a.0.cmp(&b.0));
        let content = Content {
            format: FORMAT,
            credentials: entries
                .into_iter()
                .map(|(prefix, credential)| StoredCredential {
                    url: prefix.to_string(),
                    user: credential.user,
                    password: credential.password,
                })
                .collect(),
        };
        let mut bytes = serde_json::to_vec_pretty(&content).expect("plain data");
        bytes.push(b'\n');
        let mut staged = Staged::private_beside(&path)?;
        staged.write_all(&bytes).map_err(FileError::from)?;
        staged.replace()?;
        Ok(outcome)
    }

    fn load(&self) -> Result<Vec<(UrlPrefix, Credential)>> {
        #[cfg(unix)]
        if let Ok(found) = fs::metadata(&self.path) {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = found.permissions().mode() & 0o777;
            if mode & 0o077 != 0 {
                let path = self.path.clone();
                return Err(Error::OpenFile { path, mode });
            }
        }
        let Some(bytes) = read_if_exists(&self.path)? else {
            return Ok(Vec::new());
        };
        let bad = |reason: String| Error::BadFile {
            path: self.path.clone(),
            reason,
        };
        // The parser's message may quote the file.
        let content: Content = serde_json::from_slice(&bytes)
            .map_err(|e| bad(format!("line {} column {}", e.line(), e.column())))?;
        if content.format != FORMAT {
            return Err(bad(format!("unsupported format {}", content.format)));
        }
        let entries = content.credentials.into_iter().map(|entry| {
            let prefix = UrlPrefix::parse(&entry.url).map_err(|e| bad(e.to_string()))?;
            let (user, password) = (entry.user, entry.password);
            Ok((prefix, Credential { user, password }))
        });
        entries.collect()
    }
}

fn take(entries: &mut Vec<(UrlPrefix, Credential)>, prefix: &UrlPrefix) -> Option<String> {
    let at = entries.iter().position(|(known, _)| known == prefix)?;
    Some(entries.remove(at).1.user)
}

impl CredentialSource for CredentialFile {
    fn kind(&self) -> SourceKind {
        SourceKind::File
    }

    fn find(&self, request: &CredentialRequest<'_>, _context: &Context) -> Result<Option<FoundCredential>> {
        let covering = self.load()?.into_iter().filter(|(prefix, credential)| {
            // A named user is not another one; a token has no user.
            let fits = |user| credential.is_token() || user == credential.user;
            prefix.covers(request.url) && request.user.is_none_or(fits)
        });
        let found = covering.max_by_key(|(prefix, _)| prefix.length());
        Ok(found.map(|(_, credential)| FoundCredential {
            credential,
            source: SourceKind::File,
            from: self.path.display().to_string(),
            expires: None,
        }))
    }

    fn list(&self) -> Result<Vec<ListedCredential>> {
        let from = self.path.display().to_string();
        let listed = self
            .load()?
            .into_iter()
            .map(|(prefix, credential)| ListedCredential {
                source: SourceKind::File,
                from: from.clone(),
                prefix: Some(prefix.to_string()),
                host: Some(prefix.host().to_owned()),
                user: Some(credential.user),
            });
        Ok(listed.collect())
    }
}

#[cfg(test)]
mod tests {
    use backlot_core::{Context, Diagnostic as _};
    use fs_err as fs;

    use super::super::{Credential, CredentialRequest, CredentialSource as _, PlaceName, UrlPrefix};
    use super::CredentialFile;

    fn credential(user: &str, password: &str) -> Credential {
        Credential {
            user: user.to_owned(),
            password: password.to_owned(),
        }
    }

    fn find(file: &CredentialFile, url: &str, user: Option<&str>) -> Option<String> {
        let url = url.parse().unwrap();
        let request = CredentialRequest {
            place: &PlaceName::unnamed(),
            url: &url,
            user,
            instead_of: None,
        };
        let found = file.find(&request, &Context::default()).unwrap();
        found.map(|found| found.credential.password)
    }

    #[test]
    fn the_longest_prefix_wins_and_another_host_gets_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let file = CredentialFile::new(folder.path().join("deep/credentials.json"));
        let context = Context::default();
        for (url, password) in [
            ("https://host", "short"),
            ("https://host/team", "long"),
            ("https://b", "b"),
        ] {
            let prefix = UrlPrefix::parse(url).unwrap();
            assert_eq!(
                file.store(&prefix, &credential("ana", password), &context)
                    .unwrap(),
                None
            );
        }
        assert_eq!(find(&file, "https://host/team/x", None).as_deref(), Some("long"));
        assert_eq!(
            find(&file, "https://host/teams/x", None).as_deref(),
            Some("short")
        );
        assert_eq!(find(&file, "https://host/team/x", Some("ben")), None);
        assert_eq!(find(&file, "https://evil/team/x", None), None);
        let team = UrlPrefix::parse("https://host/team").unwrap();
        assert_eq!(
            file.store(&team, &credential("ben", "new"), &context)
                .unwrap()
                .as_deref(),
            Some("ana")
        );
        assert_eq!(find(&file, "https://host/team/x", None).as_deref(), Some("new"));
        assert_eq!(file.remove(&team, &context).unwrap().as_deref(), Some("ben"));
        assert_eq!(file.remove(&team, &context).unwrap(), None);
        assert_eq!(find(&file, "https://host/team/x", None).as_deref(), Some("short"));
    }

    #[cfg(unix)]
    #[test]
    fn a_file_that_others_can_read_is_refused_and_not_overwritten() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("credentials.json");
        let file = CredentialFile::new(&path);
        let (context, prefix) = (Context::default(), UrlPrefix::parse("https://host").unwrap());
        file.store(&prefix, &credential("ana", "x"), &context).unwrap();
        let mode = || fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(), 0o600);
        for open in [0o640, 0o604, 0o660] {
            fs::set_permissions(&path, std::fs::Permissions::from_mode(open)).unwrap();
            let before = fs::read(&path).unwrap();
            let error = file
                .store(&prefix, &credential("ben", "y"), &context)
                .unwrap_err();
            assert_eq!(error.code(), "auth::open_file");
            assert!(error.help().unwrap().contains("chmod 600"), "{:?}", error.help());
            assert_eq!(fs::read(&path).unwrap(), before);
        }
    }

    #[test]
    fn a_file_that_cannot_be_read_is_an_error_that_quotes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let file = CredentialFile::new(folder.path().join("credentials.json"));
        let prefix = UrlPrefix::parse("https://host").unwrap();
        file.store(&prefix, &credential("ana", "hunter2"), &Context::default())
            .unwrap();
        let good = fs::read_to_string(file.path()).unwrap();
        for bad in [
            good.replace("\"ana\"", "hunter2"),
            good.replace("\"format\": 1", "\"format\": 2"),
            good.replace("https://host", "http://hunter2:x@host"),
            "hunter2".to_owned(),
        ] {
            fs::write(file.path(), bad).unwrap();
            let error = file.list().unwrap_err();
            assert_eq!(error.code(), "auth::bad_file");
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn the_first_format_reads_for_ever() {
        let folder = tempfile::tempdir().unwrap();
        let golden = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../fixtures/format/v1/credentials.json"
        );
        let path = folder.path().join("credentials.json");
        fs::write(&path, fs::read(golden).unwrap()).unwrap();
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        }
        let file = CredentialFile::new(&path);
        assert_eq!(
            find(&file, "https://index.example/team/simple/", None).as_deref(),
            Some("golden")
        );
        assert_eq!(
            find(&file, "sftp://ana@files.example:2222/srv/x", None).as_deref(),
            Some("silver")
        );
    }
}
