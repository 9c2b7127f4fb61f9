//! The contestants: how each is set up on a server, and which command is which step.
//!
//! All get the same server, 16 transfers at once where that can be said, and a fresh cache. What only one of them does is not
//! measured: `backlot add` and `dvc add` come before the push. Invariant: only [`Side::push`] and [`Side::pull`] are measured.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use backlot_benches::measure::Bench;
use backlot_benches::tree::copy_without;
use fs_err as fs;

use crate::servers::{Kind, PASSWORD, Server, USER};

/// The folder of an asset that has the set.
const MODULE: &str = "outputs/shot/src/shot";
/// Where each puts its objects on a server: a bucket, or a folder.
const BUCKET: &str = "assets";

/// A contestant.
pub(crate) trait Side {
    /// Its name.
    fn name(&self) -> &'static str;
    /// Its version, as it says it.
    fn version(&self, bench: &Bench, here: &Path) -> io::Result<String>;
    /// Make its place, with the server as its remote.
    fn prepare(&self, bench: &Bench, server: &Server, place: &Path) -> io::Result<()>;
    /// Where the set goes.
    fn set(&self, place: &Path) -> PathBuf;
    /// Take in what the set is now.
    fn add(&self, bench: &Bench, place: &Path) -> io::Result<()>;
    /// Send it.
    fn push(&self, bench: &Bench, server: &Server, place: &Path) -> Command;
    /// Make another machine's place. Returns where the set will be.
    fn prepare_other(&self, bench: &Bench, server: &Server, place: &Path) -> io::Result<PathBuf>;
    /// Bring it there.
    fn pull(&self, bench: &Bench, server: &Server, place: &Path) -> Command;
    /// Make a third machine's place, where files are hard links of the cache, so that they are written once. Returns where the set will be,
    /// and what brings it there.
    fn linked(&self, _: &Bench, _: &Server, _: &Path) -> io::Result<Option<(PathBuf, Command)>> {
        Ok(None)
    }
}

/// The subject, with a chunked remote.
pub(crate) struct Backlot {
    program: PathBuf,
    path: OsString,
}

impl Backlot {
    pub(crate) fn new(program: PathBuf, path: OsString) -> Self {
        Self { program, path }
    }

    fn command(&self, bench: &Bench, here: &Path, cache: &str, arguments: &[&str]) -> Command {
        let mut command = bench.command(&self.program, arguments, here, &self.path);
        command
            .env("BACKLOT_CACHE_DIR", here.with_file_name(cache))
            .env("BACKLOT_AUTHOR", "bench")
            .env("BACKLOT_REMOTE_MAIN_USERNAME", USER)
            .env("BACKLOT_REMOTE_MAIN_PASSWORD", PASSWORD);
        command
    }

    fn make(&self, bench: &Bench, server: &Server, place: &Path, name: &str) -> io::Result<PathBuf> {
        let run =
            |here: &Path, arguments: &[&str]| bench.run(&mut self.command(bench, here, "cache", arguments));
        run(place, &["init", name, "--python", "none"])?;
        let here = place.join(name);
        let url = match server.kind {
            Kind::Sftp => {
                let root = server.root.join("backlot");
                format!(
                    "sftp://{}@127.0.0.1:{}{}",
                    server.login,
                    server.port,
                    root.display()
                )
            }
            Kind::Webdav => format!("webdav+{}/backlot", server.http()),
            Kind::S3 => format!("s3://{BUCKET}/backlot"),
        };
        let endpoint = server.http();
        let mut add = vec!["remote", "add", "main", &url];
        if server.kind == Kind::S3 {
            make_bucket(bench, server, &self.path)?;
            add.extend(["--endpoint", &endpoint, "--region", "us-east-1"]);
        }
        run(&here, &add)?;
        Ok(here)
    }

    fn other(&self, bench: &Bench, server: &Server, place: &Path, name: &str) -> io::Result<PathBuf> {
        let here = self.make(bench, server, place, name)?;
        copy_without(&place.join("one/outputs"), &here.join("outputs"), "set")?;
        Ok(here.join(MODULE).join("set"))
    }
}

/// Make the bucket; one that is there is as good.
fn make_bucket(bench: &Bench, server: &Server, path: &OsString) -> io::Result<()> {
    let url = format!("{}/{BUCKET}", server.http());
    let curl = ["-s", "-o", "/dev/null", "-X", "PUT", &url];
    bench.run(&mut bench.command(Path::new("/usr/bin/curl"), &curl, &bench.folder, path))?;
    Ok(())
}

impl Side for Backlot {
    fn name(&self) -> &'static str {
        "backlot"
    }

    fn version(&self, bench: &Bench, here: &Path) -> io::Result<String> {
        let said = bench.run(&mut self.command(bench, here, "cache", &["--version"]))?;
        Ok(said.trim().to_owned())
    }

    fn prepare(&self, bench: &Bench, server: &Server, place: &Path) -> io::Result<()> {
        let here = self.make(bench, server, place, "one")?;
        bench.run(&mut self.command(bench, &here, "cache", &["new", "Shot"]))?;
        Ok(())
    }

    fn set(&self, place: &Path) -> PathBuf {
        place.join("one").join(MODULE).join("set")
    }

    fn add(&self, bench: &Bench, place: &Path) -> io::Result<()> {
        let set = self.set(place).display().to_string();
        bench.run(&mut self.command(bench, &place.join("one"), "cache", &["add", &set]))?;
        Ok(())
    }

    fn push(&self, bench: &Bench, _server: &Server, place: &Path) -> Command {
        self.command(bench, &place.join("one"), "cache", &["push"])
    }

    fn prepare_other(&self, bench: &Bench, server: &Server, place: &Path) -> io::Result<PathBuf> {
        self.other(bench, server, place, "two")
    }

    fn pull(&self, bench: &Bench, _server: &Server, place: &Path) -> Command {
        self.command(bench, &place.join("two"), "cache-two", &["pull"])
    }

    fn linked(&self, bench: &Bench, server: &Server, place: &Path) -> io::Result<Option<(PathBuf, Command)>> {
        let set = self.other(bench, server, place, "three")?;
        let mut pull = self.command(bench, &place.join("three"), "cache-three", &["pull"]);
        pull.env("BACKLOT_LINKS", "hardlink");
        Ok(Some((set, pull)))
    }
}

/// Real DVC.
pub(crate) struct Dvc {
    program: PathBuf,
    path: OsString,
}

impl Dvc {
    pub(crate) fn new(program: PathBuf, path: OsString) -> Self {
        Self { program, path }
    }

    fn command(&self, bench: &Bench, here: &Path, arguments: &[&str]) -> Command {
        let mut command = bench.command(&self.program, arguments, here, &self.path);
        command
            .env("DVC_SITE_CACHE_DIR", here.with_extension("site"))
            .env("DVC_NO_ANALYTICS", "1")
            .env("AWS_ACCESS_KEY_ID", USER)
            .env("AWS_SECRET_ACCESS_KEY", PASSWORD)
            .env("AWS_DEFAULT_REGION", "us-east-1");
        command
    }

    fn make(&self, bench: &Bench, server: &Server, place: &Path, name: &str) -> io::Result<PathBuf> {
        let here = place.join(name);
        fs::create_dir_all(&here)?;
        let key = bench.folder.join("home/.ssh/id_ed25519").display().to_string();
        let endpoint = server.http();
        let (url, options): (String, Vec<(&str, &str)>) = match server.kind {
            Kind::Sftp => {
                let root = server.root.join("dvc");
                (
                    format!(
                        "ssh://{}@127.0.0.1:{}{}",
                        server.login,
                        server.port,
                        root.display()
                    ),
                    vec![("keyfile", &key)],
                )
            }
            Kind::Webdav => {
                let url = endpoint.replacen("http", "webdav", 1);
                (format!("{url}/dvc"), vec![("user", USER), ("password", PASSWORD)])
            }
            Kind::S3 => {
                make_bucket(bench, server, &self.path)?;
                (format!("s3://{BUCKET}/dvc"), vec![("endpointurl", &endpoint)])
            }
        };
        let run = |arguments: &[&str]| bench.run(&mut self.command(bench, &here, arguments));
        run(&["init", "--no-scm", "--quiet"])?;
        run(&["remote", "add", "--default", "main", &url])?;
        for (option, value) in options {
            run(&["remote", "modify", "--local", "main", option, value])?;
        }
        Ok(here)
    }
}

impl Side for Dvc {
    fn name(&self) -> &'static str {
        "dvc"
    }

    fn version(&self, bench: &Bench, here: &Path) -> io::Result<String> {
        let said = bench.run(&mut self.command(bench, here, &["--version"]))?;
        Ok(format!("dvc {}", said.trim()))
    }

    fn prepare(&self, bench: &Bench, server: &Server, place: &Path) -> io::Result<()> {
        self.make(bench, server, place, "one").map(drop)
    }

    fn set(&self, place: &Path) -> PathBuf {
        place.join("one/set")
    }

    fn add(&self, bench: &Bench, place: &Path) -> io::Result<()> {
        bench.run(&mut self.command(bench, &place.join("one"), &["add", "--quiet", "set"]))?;
        Ok(())
    }

    fn push(&self, bench: &Bench, _server: &Server, place: &Path) -> Command {
        self.command(bench, &place.join("one"), &["push", "--quiet", "-j", "16"])
    }

    fn prepare_other(&self, bench: &Bench, server: &Server, place: &Path) -> io::Result<PathBuf> {
        let here = self.make(bench, server, place, "two")?;
        fs::copy(place.join("one/set.dvc"), here.join("set.dvc"))?;
        Ok(here.join("set"))
    }

    fn pull(&self, bench: &Bench, _server: &Server, place: &Path) -> Command {
        self.command(bench, &place.join("two"), &["pull", "--quiet", "-j", "16"])
    }
}

/// rclone, which copies files as they are.
#[derive(Clone)]
pub(crate) struct Rclone {
    program: PathBuf,
    pub(crate) path: OsString,
}

impl Rclone {
    pub(crate) fn new(program: PathBuf, path: OsString) -> Self {
        Self { program, path }
    }

    /// Copy a folder to a folder of the server, or back.
    pub(crate) fn copy(
        &self,
        bench: &Bench,
        server: &Server,
        name: &str,
        folder: &Path,
        back: bool,
    ) -> Command {
        let there = match server.kind {
            Kind::Sftp => format!("there:{}", server.root.join(name).display()),
            Kind::Webdav => format!("there:{name}"),
            Kind::S3 => format!("there:{BUCKET}/{name}"),
        };
        let here = folder.display().to_string();
        let (from, to) = if back { (&there, &here) } else { (&here, &there) };
        let arguments = ["copy", "-q", "--transfers", "16", "--checkers", "16", from, to];
        let mut command = bench.command(&self.program, &arguments, &bench.folder, &self.path);
        let port = server.port.to_string();
        let set: Vec<(&str, String)> = match server.kind {
            Kind::Sftp => vec![
                ("TYPE", "sftp".to_owned()),
                ("HOST", "127.0.0.1".to_owned()),
                ("PORT", port),
                ("USER", server.login.clone()),
                (
                    "KEY_FILE",
                    bench.folder.join("home/.ssh/id_ed25519").display().to_string(),
                ),
            ],
            Kind::Webdav => vec![
                ("TYPE", "webdav".to_owned()),
                ("URL", server.http()),
                ("VENDOR", "other".to_owned()),
                ("USER", USER.to_owned()),
                ("PASS", self.obscured(bench).unwrap_or_default()),
            ],
            Kind::S3 => vec![
                ("TYPE", "s3".to_owned()),
                ("PROVIDER", "Other".to_owned()),
                ("ENDPOINT", server.http()),
                ("ACCESS_KEY_ID", USER.to_owned()),
                ("SECRET_ACCESS_KEY", PASSWORD.to_owned()),
                ("REGION", "us-east-1".to_owned()),
            ],
        };
        for (name, value) in set {
            command.env(format!("RCLONE_CONFIG_THERE_{name}"), value);
        }
        command
    }

    /// The password as rclone wants it.
    fn obscured(&self, bench: &Bench) -> io::Result<String> {
        let said = bench.run(&mut bench.command(
            &self.program,
            &["obscure", PASSWORD],
            &bench.folder,
            &self.path,
        ))?;
        Ok(said.trim().to_owned())
    }
}

impl Side for Rclone {
    fn name(&self) -> &'static str {
        "rclone"
    }

    fn version(&self, bench: &Bench, here: &Path) -> io::Result<String> {
        let said = bench.run(&mut bench.command(&self.program, &["version"], here, &self.path))?;
        Ok(said.lines().next().unwrap_or_default().to_owned())
    }

    fn prepare(&self, bench: &Bench, server: &Server, _place: &Path) -> io::Result<()> {
        match server.kind {
            Kind::S3 => make_bucket(bench, server, &self.path),
            _ => Ok(()),
        }
    }

    fn set(&self, place: &Path) -> PathBuf {
        place.join("set")
    }

    fn add(&self, _bench: &Bench, _place: &Path) -> io::Result<()> {
        Ok(())
    }

    fn push(&self, bench: &Bench, server: &Server, place: &Path) -> Command {
        self.copy(bench, server, "rclone", &self.set(place), false)
    }

    fn prepare_other(&self, _bench: &Bench, _server: &Server, place: &Path) -> io::Result<PathBuf> {
        Ok(place.join("back"))
    }

    fn pull(&self, bench: &Bench, server: &Server, place: &Path) -> Command {
        self.copy(bench, server, "rclone", &place.join("back"), true)
    }
}
