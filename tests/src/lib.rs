//! The harness of the black-box tests: a studio in a temporary folder, and the command run in a hermetic environment.
//!
//! The command is `target/debug/backlot` of this build (or `BACKLOT_BIN`); the real peers (pip, uv, twine, dvc) are where
//! `scripts/test-tools.sh` puts them. A missing tool fails a test; nothing is skipped silently.
#![allow(
    clippy::missing_panics_doc,
    clippy::return_self_not_must_use,
    reason = "a harness fails by panicking, and a checked run may be dropped"
)]
#![expect(clippy::disallowed_methods, reason = "a harness reads its environment")]

pub mod bundles;
pub mod ceph;
pub mod chain;
pub mod channel;
pub mod dav;
pub mod disks;
pub mod door;
pub mod embedding;
mod environments;
pub mod examples;
pub mod faults;
pub mod installers;
pub mod memory;
pub mod peer;
pub mod random_pipelines;
pub mod real_dvc;
pub mod rebuilds;
pub mod rig;
#[path = "../../crates/backlot-repo/tests/support/server.rs"]
pub mod server;
pub mod slurm;
pub mod sshd;
pub mod stores;
pub mod wheels;
pub mod wide;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use fs_err as fs;
use serde_json::Value;

/// The command under test.
pub fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("BACKLOT_BIN") {
        return PathBuf::from(path);
    }
    // target/debug/deps/<test> lies two folders below the command.
    let test = std::env::current_exe().expect("this program has a path");
    let path = test.ancestors().nth(2).expect("a target folder").join("backlot");
    assert!(
        path.is_file(),
        "`{}` is not built: run `cargo test --workspace --no-run`",
        path.display()
    );
    path
}

/// A real peer.
pub fn tool(name: &str) -> PathBuf {
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache/backlot/test-tools"));
    let tools = std::env::var_os("BACKLOT_TEST_TOOLS")
        .map(PathBuf::from)
        .or_else(home)
        .expect("a home");
    let path = tools.join("bin").join(name);
    assert!(
        path.exists(),
        "`{}` is missing: run scripts/test-tools.sh",
        path.display()
    );
    path
}

/// The repository.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("a workspace")
        .to_path_buf()
}

/// Two repos, a remote, a cache and any number of workspaces in a temporary folder.
#[derive(Debug)]
pub struct Studio {
    folder: tempfile::TempDir,
    /// The test harmed its environments, so they are not looked at when it ends.
    harmed: AtomicBool,
}

/// What a run of the command gave.
#[derive(Debug)]
pub struct Run {
    line: String,
    /// What it printed and how it ended.
    pub output: Output,
}

impl Studio {
    /// A studio without workspaces.
    pub fn empty() -> Self {
        Self {
            folder: tempfile::tempdir().expect("a temporary folder"),
            harmed: AtomicBool::new(false),
        }
    }

    /// A studio with the workspace `ws`, repos `blessed` and `review`, and the remote `main`.
    pub fn new() -> Self {
        let studio = Self::empty();
        studio.workspace("ws");
        studio
    }

    /// The same with a remote in DVC's layout.
    pub fn with_dvc_layout() -> Self {
        let studio = Self::empty();
        // What is there decides the layout of remotes that are added later.
        fs::create_dir_all(studio.path("remote/files/md5")).expect("made");
        studio.workspace("ws");
        studio
    }

    /// Another workspace with the same repos and remote.
    pub fn workspace(&self, name: &str) {
        self.run(&["init", name]).ok();
        for repo in ["blessed", "review"] {
            self.run(&["-w", name, "repo", "add", repo, &format!("repos/{repo}")])
                .ok();
        }
        self.run(&["-w", name, "remote", "add", "main", "remote"]).ok();
    }

    /// This test ends with environments that are wrong on purpose.
    pub fn leaves_harm(&self) {
        self.harmed.store(true, Ordering::Relaxed);
    }

    /// The folder.
    pub fn root(&self) -> &Path {
        self.folder.path()
    }
    /// A path in the folder.
    pub fn path(&self, relative: &str) -> PathBuf {
        self.root().join(relative)
    }

    /// The command, ready to be run in the studio's folder.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command
            .args(arguments)
            .current_dir(self.root())
            .env_clear()
            .stdin(Stdio::null());
        for keep in ["PATH", "LANG", "TMPDIR"] {
            if let Some(value) = std::env::var_os(keep) {
                command.env(keep, value);
            }
        }
        command
            .env("HOME", self.path("home"))
            .env("BACKLOT_CACHE_DIR", self.path("cache"))
            .env("BACKLOT_AUTHOR", "ana");
        command
    }

    /// Run the command.
    pub fn run(&self, arguments: &[&str]) -> Run {
        run_command(&mut self.command(arguments))
    }

    /// Run the command in a folder of the studio, made if it is absent, as on another machine: with a cache that has nothing.
    pub fn run_afresh(&self, folder: &str, arguments: &[&str]) -> Run {
        fs::create_dir_all(self.path(folder)).expect("made");
        let mut command = self.command(arguments);
        command
            .current_dir(self.path(folder))
            .env("BACKLOT_CACHE_DIR", self.path("fresh-cache"));
        run_command(&mut command)
    }

    /// How many frames of Table are in the inputs of a workspace.
    pub fn pulled_frames(&self, workspace: &str) -> usize {
        let files = self.snapshot(&format!("{workspace}/inputs"));
        let is_frame = |path: &&String| path.contains("/table/frames/") && path.ends_with(".exr");
        files.keys().filter(is_frame).count()
    }

    /// Run the command in the workspace `ws`.
    pub fn ws(&self, arguments: &[&str]) -> Run {
        self.run(&[&["-w", "ws"], arguments].concat())
    }

    /// Start the command and go on.
    pub fn start(&self, arguments: &[&str]) -> Child {
        let mut command = self.command(arguments);
        command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the command starts")
    }

    /// Write frames `f.0000.exr` and on into a folder; content depends on the number and the seed.
    pub fn frames(&self, folder: &str, count: usize, size: usize, seed: u64) {
        for number in 0..count {
            self.write(
                &format!("{folder}/f.{number:04}.exr"),
                &noise(size, seed * 1000 + number as u64 + 1),
            );
        }
    }

    /// Write a file, with its folders.
    pub fn write(&self, path: &str, bytes: &[u8]) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("folders are made");
        fs::write(path, bytes).expect("the file is written");
    }

    /// An asset with frames in `ws`: made, filled, added.
    pub fn asset(&self, name: &str, count: usize, size: usize) {
        self.ws(&["new", name]).ok();
        let module = name.to_lowercase();
        let folder = format!("ws/outputs/{module}/src/{module}/frames");
        self.frames(&folder, count, size, 1);
        self.ws(&["add", &folder]).ok();
    }

    /// Every file of a folder with its bytes, by relative path; links by their targets.
    pub fn snapshot(&self, folder: &str) -> BTreeMap<String, Vec<u8>> {
        snapshot(&self.path(folder))
    }

    /// Every object below a cache or remote that is not what its name says.
    pub fn wrong_objects(&self, place: &str) -> Vec<PathBuf> {
        use md5::Digest as _;
        let root = self.path(place).join("files/md5");
        let mut wrong = Vec::new();
        for (path, bytes) in snapshot(&root) {
            let name = path.replace('/', "").trim_end_matches(".dir").to_owned();
            let digest: String = md5::Md5::digest(&bytes)
                .iter()
                .map(|b| format!("{b:02x}"))
                .collect();
            if name != digest {
                wrong.push(root.join(path));
            }
        }
        wrong
    }
}

/// Every environment that a test leaves behind is sound; see `environments`.
impl Drop for Studio {
    fn drop(&mut self) {
        if !std::thread::panicking() && !self.harmed.load(Ordering::Relaxed) {
            environments::check_all(self.root());
        }
    }
}

impl Default for Studio {
    fn default() -> Self {
        Self::new()
    }
}

/// Every file of a folder with its bytes, by relative path; links by their targets.
pub fn snapshot(root: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else {
            continue;
        };
        for entry in entries {
            let path = entry.expect("an entry").path();
            let name = path.strip_prefix(root).expect("inside").display().to_string();
            if path.is_symlink() {
                files.insert(
                    name,
                    fs::read_link(&path)
                        .expect("a link")
                        .display()
                        .to_string()
                        .into_bytes(),
                );
            } else if path.is_dir() {
                folders.push(path);
            } else {
                files.insert(name, fs::read(&path).expect("readable"));
            }
        }
    }
    files
}

/// Bytes that do not compress, the same for the same seed.
pub fn noise(size: usize, seed: u64) -> Vec<u8> {
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let mut bytes = Vec::with_capacity(size + 8);
    while bytes.len() < size {
        bytes.extend_from_slice(&random.next().to_le_bytes());
    }
    bytes.truncate(size);
    bytes
}

/// A small generator of repeatable numbers (xorshift64).
#[derive(Clone, Debug)]
pub struct Random(pub u64);

impl Random {
    /// The next number.
    #[expect(clippy::should_implement_trait, reason = "a stream without an end")]
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

/// Run any command and keep what it printed.
pub fn run_command(command: &mut Command) -> Run {
    let line = format!("{command:?}");
    let output = command.output().unwrap_or_else(|e| panic!("{line}: {e}"));
    Run { line, output }
}

/// The names of the packages that a report of an install says have changed.
pub fn changed(report: &Value) -> Vec<&str> {
    let changes = report["changes"].as_array().expect("changes");
    changes.iter().filter_map(|c| c["name"].as_str()).collect()
}

impl Run {
    /// What it printed.
    pub fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.output.stdout).into_owned()
    }
    /// What it complained of.
    pub fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.output.stderr).into_owned()
    }
    /// It succeeded.
    #[track_caller]
    pub fn ok(self) -> Self {
        assert!(
            self.output.status.success(),
            "{}\n{}{}",
            self.line,
            self.stdout(),
            self.stderr()
        );
        self
    }
    /// Its report in JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout())
            .unwrap_or_else(|e| panic!("{}\n{e}\n{}{}", self.line, self.stdout(), self.stderr()))
    }
    /// It failed with this exit code and error code, and says what to do. Needs `--json`.
    #[track_caller]
    pub fn fails(self, exit: i32, code: &str) -> Value {
        let report = self.json();
        let error = &report["error"];
        assert_eq!(error["code"], code, "{}\n{report:#}", self.line);
        assert_eq!(self.output.status.code(), Some(exit), "{}\n{report:#}", self.line);
        assert!(!error["message"].as_str().unwrap_or_default().is_empty());
        assert!(
            error["help"].is_string(),
            "{} gives no help\n{report:#}",
            self.line
        );
        error.clone()
    }
}
