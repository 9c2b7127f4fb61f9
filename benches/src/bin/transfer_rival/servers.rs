//! Servers on loopback that the contestants share: OpenSSH, Apache's `WebDAV`, and moto for S3.
//!
//! Each has a folder and a port of its own and ends with its value. Debian's packages are used as they are; moto keeps its objects in
//! memory, so of a bucket it is not told how much it has. Loopback has no latency; with a delay a [line](mod@crate::line) lies in front.

use std::io;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use backlot_benches::machine::{Environment, said};
use backlot_benches::tree::Inventory;
use fs_err as fs;
use serde::Serialize;

use crate::line;

/// The user of `WebDAV`, and of the bucket.
pub(crate) const USER: &str = "ana";
/// The password of that user.
pub(crate) const PASSWORD: &str = "secret";

/// A kind of server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, Serialize)]
pub(crate) enum Kind {
    Sftp,
    Webdav,
    S3,
}

impl Kind {
    pub(crate) const ALL: [Self; 3] = [Self::Sftp, Self::Webdav, Self::S3];
}

/// A running server.
pub(crate) struct Server {
    pub(crate) kind: Kind,
    /// The port to ask: its own, or that of the line in front.
    pub(crate) port: u16,
    /// The user of SSH: the account that runs the bench.
    pub(crate) login: String,
    /// Where its objects lie.
    pub(crate) root: PathBuf,
    child: Child,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl Server {
    /// Start one with its files below `folder`; who asks has `home`, and finds keys there.
    pub(crate) fn start(
        kind: Kind,
        folder: &Path,
        home: &Path,
        environment: &Environment,
        delay: Duration,
    ) -> io::Result<Self> {
        let root = folder.join("root");
        fs::create_dir_all(&root)?;
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        drop(listener);
        let asked = if delay.is_zero() {
            port
        } else {
            line::open(port, delay)?
        };
        let mut command = match kind {
            Kind::Sftp => ssh(folder, home, port, asked)?,
            Kind::Webdav => webdav(folder, &root, port)?,
            Kind::S3 => {
                let moto = environment
                    .find("moto_server")
                    .ok_or_else(|| io::Error::other("no moto_server: run scripts/test-tools.sh"))?;
                let mut command = Command::new(moto);
                command.args(["-H", "127.0.0.1", "-p", &port.to_string()]);
                command
            }
        };
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let server = Self {
            kind,
            port: asked,
            login: said("id", &["-un"]),
            root,
            child,
        };
        for _ in 0..200 {
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return Ok(server);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Err(io::Error::other(format!("{command:?} does not listen")))
    }

    /// Its address as plain HTTP.
    pub(crate) fn http(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// How many bytes it has. Of a bucket that is not told.
    pub(crate) fn stored(&self) -> io::Result<u64> {
        Ok(Inventory::of(&self.root)?.bytes())
    }
}

fn ssh(folder: &Path, home: &Path, port: u16, asked: u16) -> io::Result<Command> {
    let keys = home.join(".ssh");
    fs::create_dir_all(&keys)?;
    fs::create_dir_all("/run/sshd").ok();
    for key in [folder.join("host_key"), keys.join("id_ed25519")] {
        if !key.exists() {
            let made = Command::new("ssh-keygen")
                .args(["-q", "-t", "ed25519", "-N", "", "-C", "bench", "-f"])
                .arg(&key)
                .status()?;
            if !made.success() {
                return Err(io::Error::other("ssh-keygen failed"));
            }
        }
    }
    fs::copy(keys.join("id_ed25519.pub"), folder.join("authorized_keys"))?;
    let host = fs::read_to_string(folder.join("host_key.pub"))?;
    fs::write(keys.join("known_hosts"), format!("[127.0.0.1]:{asked} {host}"))?;
    let at = folder.display();
    fs::write(
        folder.join("sshd_config"),
        format!(
            "ListenAddress 127.0.0.1:{port}\nHostKey {at}/host_key\nAuthorizedKeysFile {at}/authorized_keys\nPidFile {at}/pid\n\
             UsePAM no\nStrictModes no\nPasswordAuthentication no\nPermitRootLogin yes\nMaxStartups 100\nMaxSessions 100\n\
             Subsystem sftp internal-sftp\n"
        ),
    )?;
    let mut command = Command::new("/usr/sbin/sshd");
    command.arg("-D").arg("-f").arg(folder.join("sshd_config"));
    command.arg("-E").arg(folder.join("log"));
    Ok(command)
}

fn webdav(folder: &Path, root: &Path, port: u16) -> io::Result<Command> {
    const MODULES: [&str; 9] = [
        "mpm_event",
        "authz_core",
        "dav",
        "dav_fs",
        "mime",
        "auth_basic",
        "authn_core",
        "authn_file",
        "authz_user",
    ];
    let at = folder.display();
    fs::create_dir_all(folder.join("lock"))?;
    // Apache gives root up for this user.
    let owned = [root.to_path_buf(), folder.join("lock")];
    if said("id", &["-u"]) == "0" {
        for owned in &owned {
            Command::new("chown")
                .arg("www-data:www-data")
                .arg(owned)
                .status()?;
        }
        // It has to get there.
        for above in root.ancestors().skip(1).take(3) {
            Command::new("chmod").arg("a+x").arg(above).status()?;
        }
    }
    let made = Command::new("htpasswd")
        .arg("-bc")
        .arg(folder.join("passwords"))
        .args([USER, PASSWORD])
        .stderr(Stdio::null())
        .status()?;
    if !made.success() {
        return Err(io::Error::other("htpasswd failed"));
    }
    let modules: String = MODULES
        .iter()
        .map(|name| format!("LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n"))
        .collect();
    fs::write(
        folder.join("httpd.conf"),
        format!(
            "ServerRoot {at}\nServerName localhost\nListen 127.0.0.1:{port}\nPidFile {at}/pid\nErrorLog {at}/log\n\
             User www-data\nGroup www-data\n{modules}TypesConfig /etc/mime.types\nDocumentRoot {root}\nDavLockDB {at}/lock/db\n\
             <Directory {root}>\nDav On\nDavDepthInfinity On\nAuthType Basic\nAuthName bench\nAuthUserFile {at}/passwords\n\
             Require valid-user\n</Directory>\n",
            root = root.display(),
        ),
    )?;
    let mut command = Command::new("/usr/sbin/apache2");
    command
        .arg("-D")
        .arg("FOREGROUND")
        .arg("-f")
        .arg(folder.join("httpd.conf"));
    Ok(command)
}
