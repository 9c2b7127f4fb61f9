//! Checksums: a manifest of files with sizes and digests, and files checked against one.
//!
//! Three kinds: JSON with size, BLAKE3 and MD5; lines that `b3sum --check` reads; lines that `md5sum --check` reads. Names are relative to the
//! folder of the manifest, with `/`, sorted by their bytes. Invariants: the same files give the same manifest; every file is read once and in
//! pieces. MD5 tells damage, not malice. Deliberately absent: links to folders are not followed, with a warning.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::path::{Component, Path, PathBuf};

use backlot_core::{Blake3, Class, Context, FileError, Md5, Operation, file, text};
use fs_err as fs;
use md5::Digest as _;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::limits::Limits;
use crate::work::each;

/// Bytes that are read at a time, by each thread.
const PIECE: usize = 1 << 20;

/// A kind of manifest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ManifestFormat {
    /// Size, BLAKE3 and MD5.
    #[default]
    Json,
    /// As `b3sum` writes.
    B3sum,
    /// As `md5sum` writes.
    Md5sum,
}

/// One file of a manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileSum {
    /// Its name, relative to the folder of the manifest.
    pub path: String,
    /// Its bytes.
    pub size: u64,
    /// The BLAKE3 digest.
    pub blake3: Blake3,
    /// The MD5 digest.
    pub md5: Md5,
}

/// A manifest in JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Manifest {
    format: u32,
    files: Vec<FileSum>,
}

/// The version of the manifest in JSON.
const FORMAT: u32 = 1;

/// How a manifest is made.
#[derive(Clone, Debug, Default)]
pub struct ChecksumOptions {
    /// The file; without one, the manifest is only in the report.
    pub output: Option<PathBuf>,
    /// The base folder of names if there is no file.
    pub base: PathBuf,
    /// The kind of manifest.
    pub format: ManifestFormat,
    /// Only the number of threads is used.
    pub limits: Limits,
    /// Write nothing.
    pub dry_run: bool,
}

/// A manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ChecksumReport {
    /// The files, sorted by name.
    pub files: Vec<FileSum>,
    /// Bytes of all files.
    pub bytes: u64,
    /// Where it was written.
    pub output: Option<PathBuf>,
    /// The kind of manifest.
    pub format: ManifestFormat,
    /// Whether the file was written: not if it is there with the same bytes.
    pub written: bool,
    /// Nothing was written.
    pub dry_run: bool,
    /// The manifest itself.
    #[serde(skip)]
    pub text: String,
}

/// The problem with a file of a manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SumProblem {
    /// It is not there.
    Missing,
    /// It has another size or digest.
    Changed,
}

/// A file that is not as its manifest says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WrongFile {
    /// Its name in the manifest.
    pub path: String,
    /// The reason.
    pub problem: SumProblem,
}

/// Files checked against a manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct VerifyReport {
    /// The manifest.
    pub manifest: PathBuf,
    /// How many files it names.
    pub files: u64,
    /// Bytes that were read.
    pub bytes: u64,
    /// Files that are not as it says.
    pub wrong: Vec<WrongFile>,
}

/// Why a check of a manifest fails.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} of {} do not match `{}`", text::count(*wrong, "file"), files, text::printable(&manifest.to_string_lossy()))]
pub struct ChecksumMismatch {
    /// How many are not.
    pub wrong: u64,
    /// How many were checked.
    pub files: u64,
    /// The manifest.
    pub manifest: PathBuf,
}

backlot_core::coded! {
    ChecksumMismatch {
        Self { .. } => "media::checksum_mismatch", Class::Integrity,
            "fetch or recreate the files in the report; if they were changed on purpose, create a new manifest";
    }
}

impl VerifyReport {
    /// The error of a command that checks, if a file is not as the manifest says.
    pub fn failure(&self) -> Option<ChecksumMismatch> {
        let wrong = self.wrong.len() as u64;
        (wrong > 0).then(|| ChecksumMismatch {
            wrong,
            files: self.files,
            manifest: self.manifest.clone(),
        })
    }
}

/// An entry of a manifest.
#[derive(Debug)]
struct Promise {
    path: String,
    size: Option<u64>,
    blake3: Option<Blake3>,
    md5: Option<Md5>,
}

/// Make a manifest of files and of all files in folders.
pub fn make_checksums(
    context: &Context,
    paths: &[PathBuf],
    options: &ChecksumOptions,
) -> Result<ChecksumReport> {
    let base = match &options.output {
        Some(output) => output.parent().unwrap_or(Path::new(".")),
        None => &options.base,
    };
    let mut files = BTreeSet::new();
    for path in paths {
        gather(context, path, &mut files)?;
    }
    if let Some(output) = &options.output {
        files.retain(|path| path != output && !file::is_same_file(path, output));
    }
    let mut named = Vec::new();
    for path in files {
        named.push((relative(&path, base)?, path));
    }
    named.sort();
    let mut sums = each(
        context,
        Operation::Verify,
        options.limits.jobs,
        &named,
        |(name, path)| {
            let (size, blake3, md5) = digests(context, path)?;
            Ok(FileSum {
                path: name.clone(),
                size,
                blake3,
                md5,
            })
        },
    )?;
    sums.dedup_by(|a, b| a.path == b.path);
    let text = write(&sums, options.format)?;
    let mut report = ChecksumReport {
        bytes: sums.iter().map(|sum| sum.size).sum(),
        files: sums,
        output: options.output.clone(),
        format: options.format,
        written: false,
        dry_run: options.dry_run,
        text,
    };
    if let Some(output) = options.output.as_ref().filter(|_| !options.dry_run) {
        report.written = file::write_if_changed(output, report.text.as_bytes())?;
    }
    Ok(report)
}

/// A file, or all files in a folder and in those below.
fn gather(context: &Context, path: &Path, files: &mut BTreeSet<PathBuf>) -> Result<()> {
    context.check()?;
    let found = fs::metadata(path).map_err(FileError::from)?;
    if !found.is_dir() {
        files.insert(path.to_path_buf());
        return Ok(());
    }
    for entry in fs::read_dir(path).map_err(FileError::from)? {
        let entry = entry.map_err(FileError::from)?;
        let (path, kind) = (entry.path(), entry.file_type().map_err(FileError::from)?);
        let temporary = entry
            .file_name()
            .as_encoded_bytes()
            .starts_with(file::TEMPORARY_PREFIX.as_bytes());
        if temporary {
            continue;
        }
        if kind.is_symlink() && path.is_dir() {
            let shown = text::printable(&path.to_string_lossy());
            context.warn(
                "media::linked_folder",
                format!("`{shown}` is a link to a folder and is left out"),
            );
            continue;
        }
        gather(context, &path, files)?;
    }
    Ok(())
}

/// A path as it is written from a folder, with `..` where it is not below. Both are absolute.
fn relative(path: &Path, base: &Path) -> Result<String> {
    let parts = |path: &Path| -> Vec<std::ffi::OsString> {
        let mut parts = Vec::new();
        for part in path.components() {
            match part {
                Component::CurDir => {}
                Component::ParentDir => drop(parts.pop()),
                part => parts.push(part.as_os_str().to_owned()),
            }
        }
        parts
    };
    let (of_path, of_base) = (parts(path), parts(base));
    let common = of_path.iter().zip(&of_base).take_while(|(a, b)| a == b).count();
    let up = std::iter::repeat_n(std::ffi::OsString::from(".."), of_base.len() - common);
    let names = up.chain(of_path[common..].iter().cloned()).map(|name| {
        name.into_string().map_err(|_| Error::NameNotUtf8 {
            path: path.to_path_buf(),
        })
    });
    Ok(names.collect::<Result<Vec<String>>>()?.join("/"))
}

/// Size and digests of a file, read once.
fn digests(context: &Context, path: &Path) -> Result<(u64, Blake3, Md5)> {
    let mut source = file::open(path)?;
    let (mut blake3, mut md5) = (blake3::Hasher::new(), md5::Md5::new());
    let (mut buffer, mut size) = (vec![0; PIECE], 0_u64);
    loop {
        context.check()?;
        let count = source.read(&mut buffer).map_err(FileError::from)?;
        if count == 0 {
            break;
        }
        blake3.update(&buffer[..count]);
        md5.update(&buffer[..count]);
        size += count as u64;
    }
    Ok((
        size,
        Blake3::from_bytes(*blake3.finalize().as_bytes()),
        Md5::from_bytes(md5.finalize().into()),
    ))
}

fn write(sums: &[FileSum], format: ManifestFormat) -> Result<String> {
    let line = |sum: &FileSum, digest: String| {
        // A name with a line break or backslash is escaped, and the line begins with a backslash.
        let escaped = sum
            .path
            .replace('\\', "\\\\")
            .replace('\n', "\\n")
            .replace('\r', "\\r");
        let mark = if escaped == sum.path { "" } else { "\\" };
        format!("{mark}{digest}  {escaped}\n")
    };
    Ok(match format {
        ManifestFormat::Json => {
            let manifest = Manifest {
                format: FORMAT,
                files: sums.to_vec(),
            };
            let json = serde_json::to_string_pretty(&manifest).map_err(std::io::Error::from);
            json.map_err(FileError::from)? + "\n"
        }
        ManifestFormat::B3sum => sums.iter().map(|sum| line(sum, sum.blake3.to_hex())).collect(),
        ManifestFormat::Md5sum => sums.iter().map(|sum| line(sum, sum.md5.to_hex())).collect(),
    })
}

/// The contents of a manifest of any kind.
fn parse(manifest: &str, path: &Path) -> Result<Vec<Promise>> {
    let bad = |line: usize, reason| Error::BadManifest {
        path: path.to_path_buf(),
        line,
        reason,
    };
    if manifest.trim_start().starts_with('{') {
        let manifest: Manifest = serde_json::from_str(manifest)
            .map_err(|error| bad(error.line().max(1), "it is not the JSON of a manifest"))?;
        if manifest.format != FORMAT {
            return Err(bad(1, "it was written by a newer version of Backlot"));
        }
        let promises = manifest.files.into_iter().map(|sum| Promise {
            path: sum.path,
            size: Some(sum.size),
            blake3: Some(sum.blake3),
            md5: Some(sum.md5),
        });
        return Ok(promises.collect());
    }
    let mut promises = Vec::new();
    for (number, line) in (1..).zip(manifest.lines()).filter(|(_, line)| !line.is_empty()) {
        let (line, escaped) = line.strip_prefix('\\').map_or((line, false), |rest| (rest, true));
        let (digest, name) = line
            .split_once("  ")
            .or_else(|| line.split_once(" *"))
            .ok_or_else(|| bad(number, "a line is a digest, two spaces and a name"))?;
        let name = if escaped {
            unescape(name).ok_or_else(|| bad(number, "unknown escape sequence"))?
        } else {
            name.to_owned()
        };
        let (blake3, md5) = (digest.parse().ok(), digest.parse().ok());
        if blake3.is_none() && md5.is_none() {
            return Err(bad(number, "the digest is neither BLAKE3 nor MD5"));
        }
        promises.push(Promise {
            path: name,
            size: None,
            blake3,
            md5,
        });
    }
    if promises.is_empty() {
        return Err(bad(1, "it does not list any file"));
    }
    Ok(promises)
}

fn unescape(name: &str) -> Option<String> {
    let mut plain = String::new();
    let mut rest = name.chars();
    while let Some(next) = rest.next() {
        plain.push(match next {
            '\\' => match rest.next()? {
                'n' => '\n',
                'r' => '\r',
                '\\' => '\\',
                _ => return None,
            },
            other => other,
        });
    }
    Some(plain)
}

/// Check files against a manifest.
pub fn verify_checksums(context: &Context, manifest: &Path, limits: &Limits) -> Result<VerifyReport> {
    let promises = parse(&file::read_text(manifest)?, manifest)?;
    let base = manifest.parent().unwrap_or(Path::new("."));
    let checked = each(context, Operation::Verify, limits.jobs, &promises, |promise| {
        let (size, blake3, md5) = match digests(context, &base.join(&promise.path)) {
            Err(Error::File(error)) if error.is_not_found() => return Ok((Some(SumProblem::Missing), 0)),
            digests => digests?,
        };
        let same = promise.size.is_none_or(|promised| promised == size)
            && promise.blake3.is_none_or(|promised| promised == blake3)
            && promise.md5.is_none_or(|promised| promised == md5);
        Ok(((!same).then_some(SumProblem::Changed), size))
    })?;
    let wrong = promises
        .iter()
        .zip(&checked)
        .filter_map(|(promise, (problem, _))| {
            let problem = (*problem)?;
            let path = promise.path.clone();
            Some(WrongFile { path, problem })
        });
    Ok(VerifyReport {
        manifest: manifest.to_path_buf(),
        files: promises.len() as u64,
        bytes: checked.iter().map(|(_, size)| size).sum(),
        wrong: wrong.collect(),
    })
}
