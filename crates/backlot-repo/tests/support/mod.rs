//! Wheels for the tests, written byte by byte, so that the tests can also make wrong ones.
//!
//! Deliberately absent: compression, and our own builder: a repo must take wheels of any origin.
#![allow(
    dead_code,
    unreachable_pub,
    missing_debug_implementations,
    clippy::unwrap_used,
    reason = "each test uses its part, and fails where it cannot go on"
)]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use backlot_core::{Context, Event, EventKind, Observer, Sha256};
use backlot_pep::{PackageName, Version};
use backlot_repo::Publication;
use fs_err as fs;
use sha2::Digest;

/// A wheel to be.
pub struct Wheel<'a> {
    pub module: &'a str,
    pub version: &'a str,
    pub tag: &'a str,
    pub headers: &'a str,
    pub entry_points: &'a str,
    pub content: &'a str,
}

impl<'a> Wheel<'a> {
    pub fn new(module: &'a str, version: &'a str) -> Self {
        Self {
            module,
            version,
            tag: "py3-none-any",
            headers: "",
            entry_points: "",
            content: "",
        }
    }

    pub fn bytes(&self) -> Vec<u8> {
        let info = format!("{}-{}.dist-info", self.module, self.version);
        let metadata = format!(
            "Metadata-Version: 2.1\nName: {}\nVersion: {}\n{}",
            self.module, self.version, self.headers
        );
        let wheel = format!(
            "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: {}\n",
            self.tag
        );
        let mut files = vec![
            (format!("{}/__init__.py", self.module), self.content.to_owned()),
            (format!("{info}/METADATA"), metadata),
            (format!("{info}/WHEEL"), wheel),
        ];
        if !self.entry_points.is_empty() {
            files.push((format!("{info}/entry_points.txt"), self.entry_points.to_owned()));
        }
        let mut record = String::new();
        for (path, content) in &files {
            let digest = Sha256::from_bytes(sha2::Sha256::digest(content).into()).to_base64url();
            writeln!(record, "{path},sha256={digest},{}", content.len()).unwrap();
        }
        writeln!(record, "{info}/RECORD,,").unwrap();
        files.push((format!("{info}/RECORD"), record));
        zip(&files)
    }

    pub fn file(&self) -> String {
        format!("{}-{}-{}.whl", self.module, self.version, self.tag)
    }

    /// Write it into a folder.
    pub fn write(&self, folder: &Path) -> PathBuf {
        fs::create_dir_all(folder).unwrap();
        let path = folder.join(self.file());
        fs::write(&path, self.bytes()).unwrap();
        path
    }
}

/// A ZIP archive of stored entries.
fn zip(files: &[(String, String)]) -> Vec<u8> {
    let (mut out, mut directory) = (Vec::new(), Vec::new());
    for (path, content) in files {
        let offset = u32::try_from(out.len()).unwrap();
        let mut common = Vec::new();
        common.extend([20, 0, 0, 0, 0, 0, 0, 0, 0x21, 0]);
        common.extend(crc32(content.as_bytes()).to_le_bytes());
        for _ in 0..2 {
            common.extend(u32::try_from(content.len()).unwrap().to_le_bytes());
        }
        common.extend(u16::try_from(path.len()).unwrap().to_le_bytes());
        common.extend([0, 0]);
        out.extend(b"PK\x03\x04");
        out.extend(&common);
        out.extend(path.as_bytes());
        out.extend(content.as_bytes());
        directory.extend(b"PK\x01\x02\x14\x03");
        directory.extend(&common);
        directory.extend([0, 0, 0, 0, 0, 0]);
        directory.extend((0o100_644_u32 << 16).to_le_bytes());
        directory.extend(offset.to_le_bytes());
        directory.extend(path.as_bytes());
    }
    let (start, count) = (
        u32::try_from(out.len()).unwrap(),
        u16::try_from(files.len()).unwrap(),
    );
    let size = u32::try_from(directory.len()).unwrap();
    out.extend(directory);
    out.extend(b"PK\x05\x06\0\0\0\0");
    out.extend(count.to_le_bytes());
    out.extend(count.to_le_bytes());
    out.extend(size.to_le_bytes());
    out.extend(start.to_le_bytes());
    out.extend([0, 0]);
    out
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            if crc & 1 == 1 {
                crc >> 1 ^ 0xEDB8_8320
            } else {
                crc >> 1
            }
        })
    })
}

pub fn by(author: &str) -> Publication {
    Publication {
        author: author.to_owned(),
        reason: "manual".to_owned(),
        machine: "test".to_owned(),
        checks: Vec::new(),
    }
}

pub fn package(name: &str) -> PackageName {
    PackageName::parse(name).unwrap()
}

pub fn version(text: &str) -> Version {
    Version::parse(text).unwrap()
}

/// Remembers the codes of warnings.
#[derive(Clone, Debug, Default)]
pub struct Warnings(Arc<Mutex<Vec<&'static str>>>);

impl Observer for Warnings {
    fn event(&self, event: &Event) {
        if let EventKind::Warned(warning) = &event.kind {
            self.0.lock().unwrap().push(warning.code);
        }
    }
}

impl Warnings {
    pub fn codes(&self) -> Vec<&'static str> {
        self.0.lock().unwrap().clone()
    }
    pub fn context(&self) -> Context {
        Context::default().with_observer(Arc::new(self.clone()))
    }
}

/// All files below a folder, relative, sorted.
pub fn tree(root: &Path) -> Vec<String> {
    fn walk(root: &Path, folder: &Path, files: &mut Vec<String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(root, &path, files);
            } else {
                files.push(path.strip_prefix(root).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    let mut files = Vec::new();
    if root.exists() {
        walk(root, root, &mut files);
    }
    files.sort();
    files
}

pub fn temporaries(root: &Path) -> Vec<String> {
    tree(root).into_iter().filter(|f| f.contains(".tmp-")).collect()
}
