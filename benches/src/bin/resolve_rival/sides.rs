//! The two sides: how each is set up, and which command is which step.
//!
//! Both ask the same repo, each by what it has for it: the folder itself (uv by its PEP 503 pages, `file://`), or a static
//! host in front of it. Both install with the same interpreter by hard links. Invariant: only what [`Side::resolve`] and
//! [`Side::install`] return is measured.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use backlot_benches::measure::Bench;
use fs_err as fs;

/// Where the repo is found.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    /// In a folder.
    Folder(PathBuf),
    /// Behind a static host.
    Http(String),
}

/// One contestant.
pub(crate) trait Side {
    /// Its name.
    fn name(&self) -> &'static str;
    /// Its version, as it says it.
    fn version_text(&self, bench: &Bench) -> io::Result<String>;
    /// Make a place that asks for `root` and has nothing chosen or installed.
    fn prepare(&self, bench: &Bench, place: &Path, source: &Source) -> io::Result<()>;
    /// The command that chooses all versions and writes them down.
    fn resolve(&self, bench: &Bench, place: &Path, cache: &Path, source: &Source) -> Command;
    /// The command that chooses and installs.
    fn install(&self, bench: &Bench, place: &Path, cache: &Path, source: &Source) -> Command;
    /// What was chosen, as sorted `name==version`.
    fn chosen(&self, place: &Path) -> io::Result<Vec<String>>;
    /// Where installed modules are.
    fn site_packages(&self, place: &Path) -> io::Result<PathBuf>;
}

/// Real uv.
#[derive(Debug)]
pub(crate) struct Uv {
    pub(crate) program: PathBuf,
    pub(crate) python: PathBuf,
    pub(crate) path: OsString,
}

impl Uv {
    fn command(&self, bench: &Bench, arguments: &[&str], place: &Path, cache: &Path) -> Command {
        let mut command = bench.command(&self.program, arguments, place, &self.path);
        command.env("UV_CACHE_DIR", cache).env("UV_NO_PROGRESS", "1");
        command
    }
}

fn pages(source: &Source) -> String {
    match source {
        Source::Folder(repo) => format!("file://{}/simple", repo.display()),
        Source::Http(address) => format!("{address}/simple"),
    }
}

impl Side for Uv {
    fn name(&self) -> &'static str {
        "uv"
    }
    fn version_text(&self, bench: &Bench) -> io::Result<String> {
        let text = bench.run(&mut self.command(bench, &["--version"], &bench.folder, &bench.folder))?;
        Ok(text.trim().to_owned())
    }
    fn prepare(&self, bench: &Bench, place: &Path, _source: &Source) -> io::Result<()> {
        fs::create_dir_all(place)?;
        fs::write(place.join("root.in"), "root\n")?;
        let python = self.python.display().to_string();
        let mut venv = self.command(
            bench,
            &["venv", "--quiet", "--python", &python],
            place,
            &bench.folder.join("none"),
        );
        bench.run(&mut venv).map(|_| ())
    }
    fn resolve(&self, bench: &Bench, place: &Path, cache: &Path, source: &Source) -> Command {
        let (pages, python) = (pages(source), self.python.display().to_string());
        let arguments = [
            "pip",
            "compile",
            "root.in",
            "-o",
            "chosen.txt",
            "--quiet",
            "--no-annotate",
            "--no-header",
            "--index-url",
            &pages,
            "--python",
            &python,
        ];
        self.command(bench, &arguments, place, cache)
    }
    fn install(&self, bench: &Bench, place: &Path, cache: &Path, source: &Source) -> Command {
        let pages = pages(source);
        let arguments = [
            "pip",
            "install",
            "root",
            "--quiet",
            "--link-mode",
            "hardlink",
            "--index-url",
            &pages,
            "--python",
            ".venv/bin/python",
        ];
        self.command(bench, &arguments, place, cache)
    }
    fn chosen(&self, place: &Path) -> io::Result<Vec<String>> {
        let text = fs::read_to_string(place.join("chosen.txt"))?;
        let lines = text.lines().filter(|line| line.contains("=="));
        let mut chosen: Vec<String> = lines.map(|line| line.trim().to_owned()).collect();
        chosen.sort();
        Ok(chosen)
    }
    fn site_packages(&self, place: &Path) -> io::Result<PathBuf> {
        site_packages(&place.join(".venv"))
    }
}

/// The command of this workspace.
#[derive(Debug)]
pub(crate) struct Backlot {
    pub(crate) program: PathBuf,
    pub(crate) python: PathBuf,
    pub(crate) path: OsString,
}

impl Backlot {
    fn command(&self, bench: &Bench, arguments: &[&str], place: &Path, cache: &Path) -> Command {
        let mut command = bench.command(&self.program, arguments, place, &self.path);
        command.env("BACKLOT_CACHE_DIR", cache);
        command
    }

    /// Make records and pages of a repo whose wheels were laid there.
    pub(crate) fn reindex(&self, bench: &Bench, repo: &Path) -> io::Result<()> {
        let place = bench.folder.join("librarian");
        fs::create_dir_all(&place)?;
        let name = repo.file_name().unwrap_or_default().to_string_lossy();
        let folder = repo.display().to_string();
        if !place.join("backlot.toml").exists() {
            bench.run(&mut self.command(bench, &["init", "--python", "none"], &place, &place))?;
        }
        bench.run(&mut self.command(bench, &["repo", "add", &name, &folder], &place, &place))?;
        bench
            .run(&mut self.command(bench, &["repo", "reindex", &name], &place, &place))
            .map(|_| ())
    }
}

impl Side for Backlot {
    fn name(&self) -> &'static str {
        "backlot"
    }
    fn version_text(&self, bench: &Bench) -> io::Result<String> {
        let text = bench.run(&mut self.command(bench, &["--version"], &bench.folder, &bench.folder))?;
        Ok(text.trim().to_owned())
    }
    fn prepare(&self, bench: &Bench, place: &Path, source: &Source) -> io::Result<()> {
        fs::create_dir_all(place)?;
        let python = self.python.display().to_string();
        bench.run(&mut self.command(bench, &["init", "--python", &python], place, place))?;
        let repo = match source {
            Source::Folder(repo) => repo.display().to_string(),
            Source::Http(_) => pages(source),
        };
        bench.run(&mut self.command(bench, &["repo", "add", "studio", &repo], place, place))?;
        let file = place.join("backlot.toml");
        let text = fs::read_to_string(&file)?;
        let asking = text.replacen("inputs = []", "inputs = [\"root\"]", 1);
        fs::write(&file, asking)
    }
    fn resolve(&self, bench: &Bench, place: &Path, cache: &Path, _source: &Source) -> Command {
        self.command(bench, &["lock", "--quiet"], place, cache)
    }
    fn install(&self, bench: &Bench, place: &Path, cache: &Path, _source: &Source) -> Command {
        self.command(bench, &["install", "--quiet"], place, cache)
    }
    fn chosen(&self, place: &Path) -> io::Result<Vec<String>> {
        let text = fs::read_to_string(place.join("backlot.lock"))?;
        let value = |line: &str, key: &str| {
            let rest = line.strip_prefix(key)?.trim_start().strip_prefix('=')?;
            Some(rest.trim().trim_matches('"').to_owned())
        };
        let (mut chosen, mut name) = (Vec::new(), String::new());
        for line in text.lines() {
            if let Some(found) = value(line, "name") {
                name = found;
            } else if let Some(version) = value(line, "version").filter(|_| !name.is_empty()) {
                chosen.push(format!("{}=={version}", std::mem::take(&mut name)));
            }
        }
        chosen.sort();
        Ok(chosen)
    }
    fn site_packages(&self, place: &Path) -> io::Result<PathBuf> {
        site_packages(&place.join("inputs"))
    }
}

fn site_packages(environment: &Path) -> io::Result<PathBuf> {
    for entry in fs::read_dir(environment.join("lib"))? {
        let folder = entry?.path().join("site-packages");
        if folder.is_dir() {
            return Ok(folder);
        }
    }
    Err(io::Error::new(io::ErrorKind::NotFound, "no site-packages"))
}
