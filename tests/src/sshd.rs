//! An SSH server (Debian's `openssh-server`) on loopback, with keys of its own and everything below one folder.
//!
//! Runs as root in a container or as anybody. Missing, it fails the test; nothing is skipped.

use std::path::{Path, PathBuf};
use std::process::Command;

use fs_err as fs;

use crate::peer::{Daemon, free_port};
use crate::run_command;

/// A server that ends with the test.
#[derive(Debug)]
pub struct Sshd {
    _process: Daemon,
    folder: PathBuf,
    /// Where it listens.
    pub port: u16,
    /// Who may sign in: whoever runs the test.
    pub user: String,
}

impl Sshd {
    /// Start one that lets the key `folder/user_key` in. `sftp` are options of its SFTP (`-P` denies requests).
    pub fn start(folder: &Path, sftp: &str) -> Self {
        fs::create_dir_all(folder).expect("made");
        for name in ["host_key", "user_key"] {
            make_key(&folder.join(name), "ed25519");
        }
        fs::copy(folder.join("user_key.pub"), folder.join("authorized_keys")).expect("copied");
        let user = run_command(Command::new("id").arg("-un")).ok().stdout();
        let is_root = run_command(Command::new("id").arg("-u")).ok().stdout().trim() == "0";
        if is_root {
            // Compiled in; only root's sshd wants it, and a container that starts none lacks it.
            fs::create_dir_all("/run/sshd").expect("made");
        }
        let port = free_port();
        let at = folder.display();
        let config = format!(
            "ListenAddress 127.0.0.1:{port}\nHostKey {at}/host_key\nAuthorizedKeysFile {at}/authorized_keys\n\
             PidFile {at}/pid\nUsePAM no\nStrictModes no\nPasswordAuthentication no\nPermitRootLogin yes\n\
             Subsystem sftp internal-sftp {sftp}\n"
        );
        fs::write(folder.join("sshd_config"), config).expect("written");
        let mut command = Command::new(find("sshd"));
        command.arg("-D").arg("-f").arg(folder.join("sshd_config"));
        command.arg("-E").arg(folder.join("log"));
        let mut process = Daemon::start(&mut command);
        if process.listens(port) {
            return Self {
                _process: process,
                folder: folder.to_path_buf(),
                port,
                user: user.trim().to_owned(),
            };
        }
        let log = fs::read_to_string(folder.join("log")).unwrap_or_default();
        panic!("sshd does not listen: {log}");
    }

    /// The key that may sign in.
    pub fn user_key(&self) -> PathBuf {
        self.folder.join("user_key")
    }

    /// Another key that may sign in, too.
    pub fn admit(&self, key: &Path) {
        let public = fs::read_to_string(key.with_extension("pub")).expect("a public key");
        let known = fs::read_to_string(self.folder.join("authorized_keys")).expect("keys");
        fs::write(self.folder.join("authorized_keys"), known + &public).expect("written");
    }

    /// The line of a file of known hosts that is about it.
    pub fn known(&self) -> String {
        let key = fs::read_to_string(self.folder.join("host_key.pub")).expect("a public key");
        format!("[127.0.0.1]:{} {key}", self.port)
    }

    /// A folder on it as a URL.
    pub fn url(&self, folder: &Path) -> String {
        format!("sftp://{}@127.0.0.1:{}{}", self.user, self.port, folder.display())
    }
}

/// Make a pair of keys.
pub fn make_key(path: &Path, kind: &str) {
    let mut keygen = Command::new(find("ssh-keygen"));
    keygen
        .args(["-q", "-t", kind, "-N", "", "-C", "test", "-f"])
        .arg(path);
    run_command(&mut keygen).ok();
}

/// A program of OpenSSH.
pub fn find(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    folders.extend(["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from));
    let found = folders
        .into_iter()
        .map(|folder| folder.join(name))
        .find(|path| path.is_file());
    found.unwrap_or_else(|| panic!("`{name}` is missing: run scripts/test-tools.sh"))
}
