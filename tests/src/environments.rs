//! What must hold of every environment that we make, whatever the test was about: `pip check` is clean, `importlib.metadata`
//! sees exactly the packages of the lock with their versions, and every file that their records name is there.
//!
//! Plain trees without an interpreter are passed over: nothing can be asked of them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use fs_err as fs;

use crate::{run_command, tool};

/// Run by the interpreter of the environment, which has no pip: the test tools' is lent to it.
const CHECK: &str = r"
import importlib.metadata, json, re, runpy, sys
pip, site, stdlib, expected = sys.argv[1], sys.argv[2], sys.argv[3], json.loads(sys.argv[4])
found = {}
for one in importlib.metadata.distributions(path=[site]):
    name = re.sub(r'[-_.]+', '-', one.metadata['Name']).lower()
    assert name not in found, f'{name} is there twice'
    found[name] = one.version
    assert one.files is not None, f'{name} has no RECORD'
    missing = [str(f) for f in one.files if not f.locate().exists()]
    assert not missing, f'{name} lacks {missing}'
    list(one.entry_points), one.requires
assert found == expected, f'{found} is installed, {expected} is locked'
# The Pythons of the tests' channels are too small for pip.
sys.path += [stdlib, stdlib + '/lib-dynload']
sys.argv = ['pip', '--disable-pip-version-check', '--no-cache-dir', 'check']
runpy.run_path(pip, run_name='__main__')
";

/// Check the environments of all workspaces in a folder.
pub(crate) fn check_all(root: &Path) {
    let Ok(entries) = fs::read_dir(root) else { return };
    for workspace in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        let lock = workspace.join("backlot.lock");
        if workspace.join("inputs/pyvenv.cfg").is_file() && lock.is_file() {
            check(&workspace, &locked(&lock));
        }
    }
}

/// The packages of a lock with their versions.
fn locked(lock: &Path) -> BTreeMap<String, String> {
    let text = fs::read_to_string(lock).expect("the lock is read");
    let lock: toml::Table = text.parse().expect("the lock is TOML");
    let packages = lock.get("package").and_then(toml::Value::as_array);
    let of = |package: &toml::Value, key: &str| package[key].as_str().expect("a text").to_owned();
    let packages = packages.into_iter().flatten();
    packages.map(|p| (of(p, "name"), of(p, "version"))).collect()
}

fn check(workspace: &Path, expected: &BTreeMap<String, String>) {
    let inputs = workspace.join("inputs");
    let mut python = Command::new(inputs.join("bin/python"));
    python
        .args(["-I", "-B", "-c", CHECK])
        .arg(below_lib(&tools()).join("pip/__pip-runner__.py"))
        .arg(below_lib(&inputs))
        .arg(stdlib())
        .arg(serde_json::to_string(expected).expect("texts"))
        .current_dir(workspace)
        .env_clear();
    run_command(&mut python).ok();
}

/// The standard library of the test tools' Python.
fn stdlib() -> &'static str {
    static FOUND: OnceLock<String> = OnceLock::new();
    FOUND.get_or_init(|| {
        let mut python = Command::new(tool("python"));
        python.args(["-c", "import os; print(os.path.dirname(os.__file__))"]);
        run_command(&mut python).ok().stdout().trim().to_owned()
    })
}

/// The environment of the test tools.
fn tools() -> PathBuf {
    let python = tool("python");
    python.ancestors().nth(2).expect("bin is in it").to_path_buf()
}

/// `lib/python3.11/site-packages` of an environment.
fn below_lib(environment: &Path) -> PathBuf {
    let lib = fs::read_dir(environment.join("lib")).expect("an environment has a lib");
    let mut versions = lib.filter_map(|entry| Some(entry.ok()?.path()));
    let python = versions.find(|path| path.join("site-packages").is_dir());
    python.expect("it has a Python").join("site-packages")
}
