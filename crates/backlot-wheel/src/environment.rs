//! PEP 405 environments made without running Python.
//!
//! A few files make one: `pyvenv.cfg`, links to the interpreter, an empty site-packages. Found interpreters are asked
//! for their version only where their files do not tell it. Deliberately absent: Windows' layout.

use std::ffi::OsStr;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use backlot_core::{Context, RelPath, file, platform};
use backlot_pep::Version;
use fs_err as fs;

use crate::error::{Error, Result};
use crate::layout::Layout;

/// A Python interpreter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interpreter {
    /// The executable, as it was found (not a link of an environment).
    pub executable: PathBuf,
    /// Its full version, `3.11.7`.
    pub version: String,
    /// Whether its environments also see packages in its own site-packages (PEP 405). Never so as found.
    pub shared: bool,
}

impl Interpreter {
    /// `3.11`.
    pub fn short_version(&self) -> String {
        self.version.splitn(3, '.').take(2).collect::<Vec<_>>().join(".")
    }

    /// Where packages go in its environments.
    pub fn purelib(&self) -> RelPath {
        Layout::environment(Path::new(""), Path::new(""), &self.short_version()).purelib
    }
}

/// The first interpreter on a search path that fits: `python3.11` for `3.11`, else `python3` or `python` of any 3.x.
pub fn find_interpreter(
    path: &OsStr,
    wanted: Option<&str>,
    context: &Context,
) -> Result<Option<Interpreter>> {
    let short = wanted.map(|w| w.splitn(3, '.').take(2).collect::<Vec<_>>().join("."));
    let mut names = vec!["python3".to_owned(), "python".to_owned()];
    if let Some(short) = &short {
        names.insert(0, format!("python{short}"));
    }
    for name in &names {
        for folder in std::env::split_paths(path) {
            let candidate = folder.join(name);
            if !candidate.is_file() {
                continue;
            }
            // A broken one on the path is skipped; another may work.
            let interpreter = match read_interpreter(&candidate, context) {
                Ok(interpreter) => interpreter,
                Err(Error::Cancelled(stopped)) => return Err(stopped.into()),
                Err(_) => continue,
            };
            let fits = match wanted {
                None => interpreter.version.starts_with("3."),
                Some(wanted) => {
                    interpreter.version == wanted || interpreter.version.starts_with(&format!("{wanted}."))
                }
            };
            if fits {
                return Ok(Some(interpreter));
            }
        }
    }
    Ok(None)
}

/// The interpreter behind an executable. If it has to be run, wait until it answers or the work is cancelled.
pub fn read_interpreter(executable: &Path, context: &Context) -> Result<Interpreter> {
    let bad = |reason: String| Error::BadInterpreter {
        path: executable.to_path_buf(),
        reason,
    };
    let real = fs::canonicalize(executable)?;
    if let Some(version) = version_from_files(&real) {
        return Ok(Interpreter {
            executable: real,
            version,
            shared: false,
        });
    }
    let code =
        "import os, platform, sys; print(platform.python_version()); print(os.path.realpath(sys.executable))";
    let mut command = Command::new(executable);
    command.args(["-I", "-S", "-c", code]);
    let output = answer(&mut command, context)?.map_err(|e| bad(e.to_string()))?;
    let text = String::from_utf8_lossy(&output);
    let mut lines = text.lines();
    let version = lines
        .next()
        .filter(|v| Version::parse(v).is_ok())
        .ok_or_else(|| bad("it cannot be run".to_owned()))?;
    let real = lines.next().map_or(real, PathBuf::from);
    Ok(Interpreter {
        executable: real,
        version: version.trim_end_matches('+').to_owned(),
        shared: false,
    })
}

/// The output of a command. It is stopped if the work is cancelled, or if it exceeds the time limit.
fn answer(command: &mut Command, context: &Context) -> Result<io::Result<Vec<u8>>> {
    const PATIENCE: Duration = Duration::from_mins(1);
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = match command.stderr(Stdio::null()).spawn() {
        Ok(child) => child,
        Err(error) => return Ok(Err(error)),
    };
    let (began, mut pause) = (Instant::now(), Duration::from_millis(1));
    // It prints two lines, which fit into a pipe.
    let ended = loop {
        match child.try_wait() {
            Ok(Some(_)) => break Ok(()),
            Ok(None) if context.check().is_err() || began.elapsed() > PATIENCE => {
                break Err(io::Error::new(io::ErrorKind::TimedOut, "no response"));
            }
            Ok(None) => std::thread::sleep(pause),
            Err(error) => break Err(error),
        }
        pause = (pause * 2).min(Duration::from_millis(20));
    };
    if let Err(error) = ended {
        child.kill().ok();
        child.wait().ok();
        context.check()?;
        return Ok(Err(error));
    }
    let mut printed = Vec::new();
    let read = child.stdout.take().map(|mut out| out.read_to_end(&mut printed));
    Ok(read.transpose().map(|_| printed))
}

/// The version in `include/python3.11/patchlevel.h` beside `bin/python3.11`, which CPython installs.
fn version_from_files(real: &Path) -> Option<String> {
    let name = real.file_name()?.to_str()?;
    let short = name.strip_prefix("python").filter(|v| v.starts_with("3."))?;
    let header = real
        .parent()?
        .parent()?
        .join(format!("include/python{short}/patchlevel.h"));
    let text = fs::read_to_string(header).ok()?;
    let line = text.lines().find(|l| l.starts_with("#define PY_VERSION "))?;
    let version = line.split('"').nth(1)?.trim_end_matches('+');
    version
        .starts_with(&format!("{short}."))
        .then(|| version.to_owned())
}

/// Make an environment in `root`, to be used at `final_root`.
pub fn create_environment(root: &Path, interpreter: &Interpreter, final_root: &Path) -> Result<Layout> {
    let short = interpreter.short_version();
    let layout = Layout::environment(root, final_root, &short);
    fs::create_dir_all(layout.site_packages())?;
    fs::create_dir_all(root.join("bin"))?;
    let home = interpreter.executable.parent().unwrap_or(Path::new("/"));
    let config = format!(
        "home = {}\nimplementation = CPython\nversion_info = {}\ninclude-system-site-packages = {}\n",
        home.display(),
        interpreter.version,
        interpreter.shared
    );
    file::write(&root.join("pyvenv.cfg"), config.as_bytes())?;
    for (name, target) in [
        ("python".to_owned(), interpreter.executable.clone()),
        ("python3".to_owned(), PathBuf::from("python")),
        (format!("python{short}"), PathBuf::from("python")),
    ] {
        platform::symlink_or_copy(&target, &root.join("bin").join(name))?;
    }
    if cfg!(target_pointer_width = "64") && cfg!(target_os = "linux") {
        platform::symlink_or_copy(Path::new("lib"), &root.join("lib64"))?;
    }
    file::write(&root.join("bin/activate"), activate_sh(final_root).as_bytes())?;
    file::write(
        &root.join("bin/activate.fish"),
        activate_fish(final_root).as_bytes(),
    )?;
    Ok(layout)
}

/// The layout of an environment that is there, by its `pyvenv.cfg`.
pub fn open_environment(root: &Path, final_root: &Path) -> Result<Layout> {
    let path = root.join("pyvenv.cfg");
    let text = fs::read_to_string(&path)?;
    let value = |key: &str| {
        text.lines()
            .find_map(|l| l.split_once('=').filter(|(k, _)| k.trim() == key))
            .map(|(_, v)| v.trim().to_owned())
    };
    let version = value("version_info").or_else(|| value("version"));
    // A damaged one still has its packages, and `environment_fits` has it recreated.
    let version = version.or_else(|| only_version_in(root));
    let version = version.ok_or_else(|| Error::BadInterpreter {
        path: path.clone(),
        reason: "its pyvenv.cfg has no version".to_owned(),
    })?;
    let short = version.splitn(3, '.').take(2).collect::<Vec<_>>().join(".");
    Ok(Layout::environment(root, final_root, &short))
}

/// The version of the only `lib/python3.x` of an environment.
fn only_version_in(root: &Path) -> Option<String> {
    let entries = fs::read_dir(root.join("lib")).into_iter().flatten().flatten();
    let version = |entry: fs::DirEntry| {
        let name = entry.file_name().into_string().ok()?;
        name.strip_prefix("python").map(ToOwned::to_owned)
    };
    let mut versions = entries.filter_map(version);
    let first = versions.next()?;
    versions.next().is_none().then_some(first)
}

/// Whether the environment in `root` can keep using an interpreter: the one it was created with still exists, sees as much as it
/// should, and is that very one if packages are shared with it.
pub fn environment_fits(root: &Path, interpreter: &Interpreter) -> Result<bool> {
    let Some(text) = file::read_if_exists(&root.join("pyvenv.cfg"))? else {
        return Ok(false);
    };
    let text = String::from_utf8_lossy(&text).into_owned();
    let value = |key: &str| {
        text.lines()
            .find_map(|l| l.split_once('=').filter(|(k, _)| k.trim() == key))
            .map(|(_, v)| v.trim().to_owned())
    };
    let shared = value("include-system-site-packages").as_deref() == Some("true");
    let home = interpreter
        .executable
        .parent()
        .map(|home| home.display().to_string());
    let same = !shared || value("home") == home;
    let whole = value("home").is_some() && value("version_info").or_else(|| value("version")).is_some();
    Ok(whole && shared == interpreter.shared && same && root.join("bin/python").is_file())
}

fn quoted(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', "'\\''"))
}

fn activate_sh(root: &Path) -> String {
    format!(
        r#"# For bash, zsh and dash: . bin/activate
deactivate () {{
    if [ -n "${{_BACKLOT_OLD_PATH:-}}" ]; then PATH="$_BACKLOT_OLD_PATH"; export PATH; unset _BACKLOT_OLD_PATH; fi
    unset VIRTUAL_ENV
    if [ "${{1:-}}" != keep ]; then unset -f deactivate; fi
}}
deactivate keep
VIRTUAL_ENV={root}
export VIRTUAL_ENV
_BACKLOT_OLD_PATH="$PATH"
PATH="$VIRTUAL_ENV/bin:$PATH"
export PATH
"#,
        root = quoted(root)
    )
}

fn activate_fish(root: &Path) -> String {
    format!(
        "# For fish: source bin/activate.fish\nfunction deactivate\n    if set -q _BACKLOT_OLD_PATH\n        set -gx PATH $_BACKLOT_OLD_PATH\n        set -e _BACKLOT_OLD_PATH\n    end\n    set -e VIRTUAL_ENV\n    functions -e deactivate\nend\nset -gx VIRTUAL_ENV {}\nset -gx _BACKLOT_OLD_PATH $PATH\nset -gx PATH $VIRTUAL_ENV/bin $PATH\n",
        quoted(root)
    )
}
