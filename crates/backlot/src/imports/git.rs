//! Git repositories as sources: a mirror of each in the cache, asked and read by the command `git`.
//!
//! The command, not a library: it has people's ways of signing in (credential helpers, SSH configuration, proxies) and extensions such as LFS, and
//! an import needs three of its commands. Invariants: no hook of a repository runs, no transport that starts programs is used, and a symbolic link
//! is the text of its target, so nothing outside of the repository is read. Deliberately absent: what is imported (`repository`).

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use backlot_core::file::TemporaryFolder;
use backlot_core::web::shown_text;
use backlot_core::{Context, FileLock, file};
use backlot_net::{OwnChild, Unfinished, tame};
use backlot_store::digest_bytes;
use fs_err as fs;

use crate::error::{ImportError, Result};
use crate::workspace::Opened;

/// How long a command waits for another one that uses the same mirror.
const PATIENCE: Duration = Duration::from_mins(10);

/// A git repository, mirrored in the cache.
#[derive(Debug)]
pub(crate) struct GitMirror {
    folder: PathBuf,
    url: String,
    _lock: FileLock,
}

fn failed(url: &str, reason: impl Into<String>) -> ImportError {
    ImportError::Git {
        repository: shown_text(url),
        reason: reason.into(),
    }
}

/// Run git, and return its output. It cannot prompt on the terminal.
fn git(url: &str, arguments: &[&OsStr], context: &Context) -> Result<Vec<u8>> {
    let mut command = Command::new("git");
    command
        .args(["-c", "protocol.ext.allow=never", "-c", "core.hooksPath=/dev/null"])
        .args(["-c", "core.symlinks=false", "-c", "core.autocrlf=false"])
        .args(arguments)
        .env("GIT_TERMINAL_PROMPT", "0")
        .env_remove("GIT_DIR")
        .env_remove("GIT_WORK_TREE")
        .env_remove("GIT_INDEX_FILE")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let running =
        OwnChild::start(&mut command).map_err(|e| failed(url, format!("cannot start `git`: {e}")))?;
    let finished = running.finish(&[], u64::MAX, None, context);
    match finished.end {
        Ok(status) if status.success() => Ok(finished.stdout),
        Ok(_) => Err(failed(url, tame(&String::from_utf8_lossy(&finished.stderr), 300)).into()),
        Err(Unfinished::Lost(e)) => Err(failed(url, format!("cannot wait for `git`: {e}")).into()),
        Err(Unfinished::Cancelled | Unfinished::TimedOut) => {
            context.check()?;
            Err(failed(url, "`git` was stopped").into())
        }
    }
}

fn words<'a>(words: &[&'a str]) -> Vec<&'a OsStr> {
    words.iter().map(|word| OsStr::new(*word)).collect()
}

/// The first commit that a listing of references names.
fn first_commit(listed: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(listed);
    // Of a tag with a message, the line that ends in `^{}` has the commit.
    let line = text
        .lines()
        .find(|line| line.ends_with("^{}"))
        .or_else(|| text.lines().next())?;
    let commit = line.split_whitespace().next()?;
    let is_commit = commit.len() >= 40 && commit.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_commit.then(|| commit.to_owned())
}

/// Whether a revision is a whole commit, which never moves.
fn is_commit(rev: &str) -> bool {
    rev.len() == 40 && rev.bytes().all(|byte| byte.is_ascii_hexdigit())
}

impl Opened {
    /// The commit that a revision of a repository is now, as the repository says; of none, that of its default branch.
    pub(crate) fn git_commit(&self, url: &str, rev: Option<&str>) -> Result<String> {
        if let Some(rev) = rev.filter(|rev| is_commit(rev)) {
            return Ok(rev.to_owned());
        }
        let named = rev.unwrap_or("HEAD");
        let peeled = format!("{named}^{{}}");
        let listed = git(
            url,
            &words(&["ls-remote", "--quiet", "--", url, named, &peeled]),
            self.context(),
        )?;
        let unknown = || failed(url, format!("it has no branch, tag or commit `{named}`"));
        Ok(first_commit(&listed).ok_or_else(unknown)?)
    }

    /// The mirror of a repository, brought up to date.
    pub(crate) fn git_mirror(&self, url: &str) -> Result<GitMirror> {
        let mirrors = self.cache_dir().join("git");
        fs::create_dir_all(&mirrors)?;
        let name = digest_bytes(url.as_bytes()).blake3.to_hex();
        let folder = mirrors.join(&name[..32]);
        let lock = mirrors.join(format!("{}.lock", &name[..32]));
        let lock = FileLock::acquire(&lock, PATIENCE, self.context())?;
        if backlot_core::presence::is_absent(&folder)? {
            let stage = TemporaryFolder::absent_in(&mirrors);
            let mut init = words(&["init", "--quiet", "--bare", "--"]);
            init.push(stage.path().as_os_str());
            git(url, &init, self.context())?;
            // LFS asks the remote of this name.
            let mut remote = words(&["-C"]);
            remote.push(stage.path().as_os_str());
            remote.extend(words(&["remote", "add", "--", "origin", url]));
            git(url, &remote, self.context())?;
            file::rename(stage.path(), &folder)?;
        }
        let mirror = GitMirror {
            folder,
            url: url.to_owned(),
            _lock: lock,
        };
        let mut fetch = words(&["-C"]);
        fetch.push(mirror.folder.as_os_str());
        fetch.extend(words(&["fetch", "--quiet", "--force", "--prune", "--", url]));
        fetch.extend(words(&["+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"]));
        git(url, &fetch, self.context())?;
        Ok(mirror)
    }
}

impl GitMirror {
    /// Write the files of a commit into a folder.
    pub(crate) fn check_out(&self, commit: &str, folder: &Path, context: &Context) -> Result<()> {
        fs::create_dir_all(folder)?;
        let mut all = words(&["--git-dir"]);
        all.push(self.folder.as_os_str());
        all.push(OsStr::new("--work-tree"));
        all.push(folder.as_os_str());
        all.extend(words(&["checkout", "--quiet", "--force", commit, "--", "."]));
        git(&self.url, &all, context)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{first_commit, is_commit};

    #[test]
    fn references_are_read_as_git_lists_them() {
        let commit = "1".repeat(40);
        let other = "2".repeat(40);
        let listed = format!("{other}\trefs/tags/v1\n{commit}\trefs/tags/v1^{{}}\n");
        assert_eq!(first_commit(listed.as_bytes()).as_ref(), Some(&commit));
        assert_eq!(first_commit(format!("{other}\tHEAD\n").as_bytes()), Some(other));
        assert_eq!(first_commit(b""), None);
        assert_eq!(first_commit(b"warning: nothing\n"), None);
        assert!(is_commit(&commit) && !is_commit("v1"));
    }
}
