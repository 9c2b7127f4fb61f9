//! The wheel `backlot`: the binary as a script, so that `pip install` and `uv tool install` put it on the `PATH`, and a small
//! module, so that `python -m backlot` runs it and programs find it.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use fs_err as fs;
use sha2::{Digest as _, Sha256};
use zip::write::SimpleFileOptions;

use super::{Entry, Linkage};

const MODULE: &str = r#""""The command `backlot` as a Python package: where its binary is, and `python -m backlot`."""

import os
import sys
import sysconfig


def find_backlot_bin():
    """The path of the binary that was installed with this package."""
    name = "backlot" + (sysconfig.get_config_var("EXE") or "")
    user = sysconfig.get_preferred_scheme("user") if hasattr(sysconfig, "get_preferred_scheme") else None
    here = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    folders = [
        sysconfig.get_path("scripts"),
        sysconfig.get_path("scripts", vars={"base": sys.base_prefix}),
        sysconfig.get_path("scripts", scheme=user) if user else None,
        os.path.join(here, "bin"),  # pip install --target
    ]
    for folder in filter(None, folders):
        path = os.path.join(folder, name)
        if os.path.isfile(path):
            return path
    raise FileNotFoundError("the binary `backlot` is not installed beside its Python package")
"#;

const MAIN: &str = r#"import os
import sys

from backlot import find_backlot_bin

binary = find_backlot_bin()
if sys.platform == "win32":
    import subprocess

    sys.exit(subprocess.run([binary, *sys.argv[1:]]).returncode)
os.execv(binary, [binary, *sys.argv[1:]])
"#;

/// Write the wheel.
pub(super) fn write(
    root: &Path,
    entries: &[Entry],
    version: &str,
    linkage: Linkage,
    platform: &str,
    out: &Path,
) -> io::Result<PathBuf> {
    let tags = tags(linkage, platform);
    let info = format!("backlot-{version}.dist-info");
    let mut files = vec![
        Entry::new("backlot/__init__.py", MODULE.into()),
        Entry::new("backlot/__main__.py", MAIN.into()),
    ];
    for entry in entries {
        if entry.executable {
            files.push(Entry {
                executable: true,
                ..Entry::new(
                    format!("backlot-{version}.data/scripts/{}", entry.path),
                    entry.bytes.clone(),
                )
            });
        } else if entry.path.starts_with("LICENSE") {
            files.push(Entry::new(
                format!("{info}/licenses/{}", entry.path),
                entry.bytes.clone(),
            ));
        }
    }
    files.push(Entry::new(
        format!("{info}/METADATA"),
        metadata(root, version)?.into(),
    ));
    files.push(Entry::new(format!("{info}/WHEEL"), wheel_file(&tags).into()));
    let record = format!("{info}/RECORD");
    let mut lines: String = files.iter().map(record_line).collect();
    lines.push_str(&format!("{record},,\n"));
    files.push(Entry::new(record, lines.into()));

    let path = out.join(format!("backlot-{version}-py3-none-{}.whl", tags.join(".")));
    let mut zip = zip::ZipWriter::new(fs::File::create(&path)?);
    for file in &files {
        let mode = if file.executable { 0o755 } else { 0o644 };
        let options = SimpleFileOptions::default()
            .compression_method(zip::CompressionMethod::Deflated)
            .compression_level(Some(9))
            .last_modified_time(zip::DateTime::default())
            .unix_permissions(mode);
        zip.start_file(file.path.as_str(), options)
            .map_err(io::Error::other)?;
        zip.write_all(&file.bytes)?;
    }
    zip.finish().map_err(io::Error::other)?;
    Ok(path)
}

/// The platforms it installs on (PEP 600, PEP 656). A static binary starts with every C library.
fn tags(linkage: Linkage, platform: &str) -> Vec<String> {
    let machine = platform.split('-').next().unwrap_or(platform);
    match linkage {
        Linkage::Static => vec![
            format!("manylinux_2_17_{machine}"),
            format!("manylinux2014_{machine}"),
            format!("musllinux_1_1_{machine}"),
        ],
        Linkage::Glibc(major, minor) => vec![format!("manylinux_{major}_{minor}_{machine}")],
    }
}

fn metadata(root: &Path, version: &str) -> io::Result<String> {
    let readme = fs::read_to_string(root.join("README.md"))?;
    Ok(format!(
        "Metadata-Version: 2.4\nName: backlot\nVersion: {version}\n\
         Summary: Asset pipeline engine: assets are packages, files are content-addressed\n\
         License-Expression: MIT OR Apache-2.0\nLicense-File: LICENSE-APACHE\nLicense-File: LICENSE-MIT\n\
         Requires-Python: >=3.8\nDescription-Content-Type: text/markdown\n\n{readme}"
    ))
}

fn wheel_file(tags: &[String]) -> String {
    let mut text = "Wheel-Version: 1.0\nGenerator: backlot-xtask\nRoot-Is-Purelib: false\n".to_owned();
    for tag in tags {
        text.push_str(&format!("Tag: py3-none-{tag}\n"));
    }
    text
}

fn record_line(file: &Entry) -> String {
    let digest = base64(&Sha256::digest(&file.bytes));
    format!("{},sha256={digest},{}\n", file.path, file.bytes.len())
}

/// The alphabet for URLs, without padding, as RECORD has it.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let group = three
            .iter()
            .chain(std::iter::repeat(&0))
            .take(3)
            .fold(0usize, |sum, byte| sum << 8 | usize::from(*byte));
        for digit in 0..=three.len() {
            text.push(char::from(ALPHABET[group >> (18 - 6 * digit) & 63]));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_rfc_4648_without_padding() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg"),
            ("fo", "Zm8"),
            ("foo", "Zm9v"),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
        assert_eq!(base64(&[0xfb, 0xff]), "-_8");
    }

    #[test]
    fn a_static_binary_installs_with_every_c_library() {
        let tags = tags(Linkage::Static, "x86_64-unknown-linux-musl");
        assert_eq!(
            tags,
            [
                "manylinux_2_17_x86_64",
                "manylinux2014_x86_64",
                "musllinux_1_1_x86_64"
            ]
        );
    }
}
