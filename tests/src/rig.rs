//! A release of many files: wheels for platforms and builds, and a source distribution that hatchling made.
//!
//! Deliberately absent: anything to be installed but one module that says which of them it came from.

use std::path::Path;
use std::process::Command;

use crate::installers::{INSTALLERS, install_by};
use crate::{run_command, tool};

/// Writes `rig` of a version into a folder; what is asked for beyond the folder, the version and a note to tell two
/// releases apart is `wheels`, `sdist` or both.
const MAKE: &str = "import base64, gzip, hashlib, io, os, platform, sys, tarfile, zipfile
folder, version, note, *kinds = sys.argv[1:]
os.makedirs(folder, exist_ok=True)
metadata = f'Metadata-Version: 2.1\\nName: rig\\nVersion: {version}\\nRequires-Python: >=3.8\\n'
module = lambda which: f'which = {which!r}\\nnote = {note!r}\\n'
def wheel(tag, build=''):
    info = f'rig-{version}.dist-info'
    pure = str(tag.endswith('any')).lower()
    files = {'rig/__init__.py': module(build + tag), f'{info}/METADATA': metadata,
        f'{info}/WHEEL': f'Wheel-Version: 1.0\\nGenerator: test\\nRoot-Is-Purelib: {pure}\\nTag: {tag}\\n'}
    digest = lambda text: base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip('=')
    record = ''.join(f'{name},sha256={digest(text)},{len(text)}\\n' for name, text in files.items())
    files[f'{info}/RECORD'] = record + f'{info}/RECORD,,\\n'
    with zipfile.ZipFile(f'{folder}/rig-{version}-{build}{tag}.whl', 'w') as archive:
        for name, text in files.items():
            archive.writestr(zipfile.ZipInfo(name), text)
python = f'cp{sys.version_info[0]}{sys.version_info[1]}'
if 'wheels' in kinds:
    wheel(f'{python}-{python}-manylinux_2_17_{platform.machine()}')
    wheel(f'{python}-{python}-win_amd64')
    wheel('py3-none-any', '2-')
    wheel('py3-none-any')
if 'sdist' in kinds:
    project = f'''[build-system]\\nrequires = ['hatchling']\\nbuild-backend = 'hatchling.build'
[project]\\nname = 'rig'\\nversion = '{version}'\\nrequires-python = '>=3.8'\\n'''
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode='w', format=tarfile.PAX_FORMAT) as archive:
        for name, text in {'PKG-INFO': metadata, 'pyproject.toml': project, 'src/rig/__init__.py': module('sdist')}.items():
            entry = tarfile.TarInfo(f'rig-{version}/{name}')
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text.encode()))
    with open(f'{folder}/rig-{version}.tar.gz', 'wb') as file:
        file.write(gzip.compress(packed.getvalue(), mtime=0))";

/// Write `rig` of a version into a folder: of `kinds` are `wheels` (four) and `sdist`. The note is part of their code.
pub fn make(folder: &Path, version: &str, note: &str, kinds: &[&str]) {
    let mut python = Command::new(tool("python"));
    python.args(["-c", MAKE]).arg(folder).args([version, note]);
    run_command(python.args(kinds)).ok();
}

/// The files of a version in the order in which they are copied, by what the folder has.
pub fn files(folder: &Path) -> Vec<String> {
    let names = fs_err::read_dir(folder).expect("a folder").flatten();
    let names = names.filter_map(|entry| entry.file_name().into_string().ok());
    let mut names: Vec<String> = names
        .filter(|name| name.starts_with("rig-") && (name.ends_with(".whl") || name.ends_with(".tar.gz")))
        .collect();
    names.sort_by_key(|name| {
        (
            name.ends_with(".tar.gz"),
            name.ends_with("any.whl"),
            !name.contains("-2-py3"),
            name.clone(),
        )
    });
    names
}

/// What pip and uv install of `rig` from an index: the line `which` of its module, of each. Source only, if `from_source`.
pub fn installed_by_pip_and_uv(index: &str, folder: &Path, version: &str, from_source: bool) -> [String; 2] {
    let wanted = format!("rig=={version}");
    let mut arguments = vec!["--no-deps", "--index-url", index, &wanted];
    if from_source {
        arguments.extend(["--no-binary", "rig", "--no-build-isolation"]);
    }
    INSTALLERS.map(|by| {
        install_by(by, &folder.join(by), &arguments).ok();
        let module = folder.join(by).join("rig/__init__.py");
        let text = fs_err::read_to_string(module).expect("installed");
        text.lines().next().unwrap_or_default().to_owned()
    })
}
