//! Building a wheel, byte for byte the same on every machine.
//!
//! Entries are sorted, dated 1980-01-01 and have one of two modes; `.dist-info` comes last, RECORD at the very end.
//! Each is written whole with a complete local header (streamed entries are refused by package indexes). Memory: one
//! file at a time. The wheel appears in the output folder when it is complete.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use async_zip::base::write::ZipFileWriter;
use async_zip::{AttributeCompatibility, Compression, DeflateOption, ZipDateTimeBuilder, ZipEntryBuilder};
use backlot_core::file::{self, Staged};
use backlot_core::{Context, Operation, RelPath, Sha256, Subject};
use fs_err as fs;
use futures_lite::future::block_on;
use futures_lite::io::AssertAsync;
use sha2::{Digest as _, Sha256 as Sha256Hasher};

use crate::archive::{WheelArchive, wheel_sha256};
use crate::collect::packaged_files;
use crate::error::{Error, Result};
use crate::filename::WheelName;
use crate::project::Project;
use crate::record::{RecordEntry, write_record};

/// How to build.
#[allow(missing_debug_implementations, reason = "it holds a closure")]
pub struct BuildOptions<'a> {
    /// The folder the wheel goes to.
    pub output: &'a Path,
    /// Whether a path of the wheel is left out (tracked files; their pointers stay).
    pub exclude: &'a dyn Fn(&RelPath) -> bool,
    /// Whether all is packaged that hatchling would package, leavings of other tools too: an unpacked source distribution.
    pub whole: bool,
    /// More files for `.dist-info`, by path; one that would be generated is replaced.
    pub extra_dist_info: BTreeMap<String, Vec<u8>>,
    /// Contents to package instead of a file: files that are planned and not written yet.
    pub planned: BTreeMap<PathBuf, Vec<u8>>,
    /// The generator in WHEEL.
    pub generator: &'a str,
}

impl<'a> BuildOptions<'a> {
    /// All packaged files of a project, into a folder.
    pub fn new(output: &'a Path) -> Self {
        Self {
            output,
            exclude: &|_| false,
            whole: false,
            extra_dist_info: BTreeMap::new(),
            planned: BTreeMap::new(),
            generator: concat!("backlot-wheel ", env!("CARGO_PKG_VERSION")),
        }
    }
}

/// A built wheel.
#[derive(Clone, Debug)]
pub struct BuiltWheel {
    /// Its path.
    pub path: PathBuf,
    /// Its name.
    pub name: WheelName,
    /// Its digest.
    pub sha256: Sha256,
    /// Its length in bytes.
    pub size: u64,
    /// How many files it has.
    pub files: u64,
}

/// From this many entries on, an archive needs zip64 records.
const ZIP64_ENTRIES: usize = 65_000;

/// Build the wheel of a project.
pub fn build(project: &Project, options: &BuildOptions<'_>, context: &Context) -> Result<BuiltWheel> {
    let metadata = &project.metadata;
    if !options.whole {
        for requirement in &metadata.requires_dist {
            requirement.check_marker().map_err(|e| Error::BadProject {
                path: project.root.join("pyproject.toml"),
                reason: e.to_string(),
            })?;
        }
    }
    let name = WheelName::pure(&metadata.package(), &metadata.version);
    let sources = packaged_files(project, options, context)?;
    let path = options.output.join(name.to_string());
    let context = &context.clone().about(Subject::File(path.clone()));
    let running = context.start(Operation::Build, sources.len() as u64, 0);
    let mut staged = Staged::beside(&path)?;
    let dist_info = format!("{}-{}.dist-info", name.package.file_stem(), name.version);
    let generated = generated_files(project, options, &name);
    let files = (sources.len() + generated.len() + 1) as u64;
    {
        let buffered = std::io::BufWriter::with_capacity(1 << 20, staged.file());
        let mut writer = WheelWriter::new(AssertAsync::new(buffered), &path, files > ZIP64_ENTRIES as u64);
        for (target, source) in &sources {
            context.check()?;
            let bytes = match options.planned.get(source) {
                Some(planned) => planned.clone(),
                None => fs::read(source)?,
            };
            writer.add(target.as_str(), &bytes, is_executable(source)?)?;
            running.advance(1, 0);
        }
        for (file, bytes) in &generated {
            writer.add(&format!("{dist_info}/{file}"), bytes, false)?;
        }
        writer.finish(&format!("{dist_info}/RECORD"))?;
    }
    // Users that depend on the wheel after a power cut have a synced copy: the one in the repo.
    staged.replace_for_now()?;
    // A wheel that readers refuse is not built: they would always refuse it.
    if let Err(error) = WheelArchive::open(&path) {
        file::remove(&path)?;
        return Err(Error::BadProject {
            path: project.root.clone(),
            reason: format!("its wheel could not be read: {error}"),
        });
    }
    let (sha256, size) = wheel_sha256(&path)?;
    Ok(BuiltWheel {
        path,
        name,
        sha256,
        size,
        files,
    })
}

/// The files of `.dist-info` but RECORD, sorted.
fn generated_files(
    project: &Project,
    options: &BuildOptions<'_>,
    name: &WheelName,
) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    files.insert("METADATA".to_owned(), project.metadata.to_text().into_bytes());
    let wheel = format!(
        "Wheel-Version: 1.0\nGenerator: {}\nRoot-Is-Purelib: true\nTag: {}-{}-{}\n",
        options.generator,
        name.python(),
        name.abi(),
        name.platform()
    );
    files.insert("WHEEL".to_owned(), wheel.into_bytes());
    let entry_points = project.entry_points.to_text();
    if !entry_points.is_empty() {
        files.insert("entry_points.txt".to_owned(), entry_points.into_bytes());
    }
    files.extend(options.extra_dist_info.clone());
    files
}

fn is_executable(path: &Path) -> Result<bool> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        Ok(fs::metadata(path)?.permissions().mode() & 0o111 != 0)
    }
    #[cfg(not(unix))]
    {
        let _unused = path;
        Ok(false)
    }
}

/// A zip being written, with the RECORD of what went in.
struct WheelWriter<'a, W: std::io::Write> {
    zip: ZipFileWriter<AssertAsync<W>>,
    path: &'a Path,
    record: Vec<RecordEntry>,
}

impl<'a, W: std::io::Write> WheelWriter<'a, W> {
    fn new(writer: AssertAsync<W>, path: &'a Path, zip64: bool) -> Self {
        let zip = ZipFileWriter::new(writer);
        Self {
            zip: if zip64 { zip.force_zip64() } else { zip },
            path,
            record: Vec::new(),
        }
    }

    fn add(&mut self, name: &str, bytes: &[u8], executable: bool) -> Result<()> {
        let sha256 = Sha256::from_bytes(Sha256Hasher::digest(bytes).into());
        self.record.push(RecordEntry {
            path: name.to_owned(),
            sha256: Some(sha256),
            size: Some(bytes.len() as u64),
        });
        self.write(name, bytes, executable)
    }

    fn write(&mut self, name: &str, bytes: &[u8], executable: bool) -> Result<()> {
        // The earliest date a zip can hold; the default of the library is an invalid one.
        let date = ZipDateTimeBuilder::new()
            .year(1980)
            .month(1)
            .day(1)
            .hour(0)
            .minute(0)
            .second(0)
            .build();
        let entry = ZipEntryBuilder::new(name.into(), Compression::Deflate)
            .deflate_option(DeflateOption::Normal)
            .last_modification_date(date)
            .attribute_compatibility(AttributeCompatibility::Unix)
            .unix_permissions(if executable { 0o100_755 } else { 0o100_644 });
        block_on(self.zip.write_entry_whole(entry.build(), bytes)).map_err(|e| self.failed(&e))
    }

    fn finish(mut self, record: &str) -> Result<()> {
        self.record.push(RecordEntry {
            path: record.to_owned(),
            sha256: None,
            size: None,
        });
        let text = write_record(&self.record);
        self.write(record, text.as_bytes(), false)?;
        let path = self.path;
        let mut writer = block_on(self.zip.close())
            .map_err(|e| failed(path, &e))?
            .into_inner();
        Ok(writer.flush()?)
    }

    fn failed(&self, error: &async_zip::error::ZipError) -> Error {
        failed(self.path, error)
    }
}

/// Writing fails as the disk does; the archive's own limits cannot be hit by entries that fit in memory.
fn failed(path: &Path, error: &async_zip::error::ZipError) -> Error {
    match error {
        async_zip::error::ZipError::UpstreamReadError(io) => {
            std::io::Error::new(io.kind(), format!("cannot write `{}`: {io}", path.display())).into()
        }
        other => Error::BadWheel {
            path: path.to_path_buf(),
            reason: other.to_string(),
        },
    }
}
