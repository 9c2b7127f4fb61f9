//! Reading a wheel: its files, and whether they match its metadata.
//!
//! On `async_zip`'s seeking reader over a standard file (its tokio file reader is fifty times slower). Everything in the
//! archive is hostile until checked: names, sizes, digests. Memory: the list of entries and one small file at a time.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use async_zip::base::read1::ZipOptions;
use async_zip::base::read1::seek::ZipArchiveReader;
use async_zip::spec::constructs::CDR;
use async_zip::spec::extra::{EFD, EFHID};
use backlot_core::{RelPath, Sha256, StrongHasher};
use fs_err as fs;
use futures_lite::future::block_on;
use futures_lite::io::{AssertAsync, AsyncReadExt as _, BufReader};
use sha2::{Digest as _, Sha256 as Sha256Hasher};

use crate::asset::AssetInfo;
use crate::entry_points::EntryPoints;
use crate::error::{Error, Result};
use crate::filename::WheelName;
use crate::metadata::Metadata;
use crate::record::{Record, RecordEntry, write_record};

/// The largest single file of a wheel that is unpacked.
const MAX_ENTRY: u64 = 8 << 30;
/// The largest sum of a wheel's files.
const MAX_TOTAL: u64 = 64 << 30;
/// The largest METADATA, RECORD and the like that is read into memory.
const MAX_TEXT: u64 = 64 << 20;
/// Bytes of the longest name that file systems hold.
const MAX_NAME: usize = 255;
/// Bytes of the longest path in a wheel: with the folder that it goes to it fits into the 4,096 of Linux.
const MAX_PATH: usize = 3_072;
/// Python's own tools read no other.
pub(crate) const ENTRY_POINTS_NOT_TEXT: &str = "its entry_points.txt is not UTF-8";

type Reader = ZipArchiveReader<BufReader<AssertAsync<fs::File>>>;

/// One file in a wheel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WheelEntry {
    /// Its path.
    pub path: RelPath,
    /// Its length in bytes, as the archive declares it.
    pub size: u64,
    /// Whether it is executable.
    pub executable: bool,
    index: usize,
}

/// An open wheel.
pub struct WheelArchive {
    path: PathBuf,
    name: WheelName,
    reader: Mutex<Reader>,
    entries: Vec<WheelEntry>,
    by_path: HashMap<RelPath, usize>,
    dist_info: String,
    metadata: Metadata,
    metadata_bytes: Vec<u8>,
    entry_points: EntryPoints,
    record: Record,
}

impl fmt::Debug for WheelArchive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WheelArchive")
            .field("path", &self.path)
            .field("entries", &self.entries.len())
            .finish_non_exhaustive()
    }
}

impl WheelArchive {
    /// Open a wheel file. Names, sizes and metadata are checked; contents are by [`Self::check`].
    pub fn open(path: &Path) -> Result<Self> {
        let bad = |reason: String| Error::BadWheel {
            path: path.to_path_buf(),
            reason,
        };
        let file_name = path.file_name().unwrap_or_default().to_string_lossy();
        let name: WheelName = file_name.parse()?;
        let file = fs::File::open(path)?;
        let options = ZipOptions {
            max_uncompressed_size_per_file: MAX_ENTRY,
            max_compressed_size_per_file: MAX_ENTRY,
            max_cd_num_files: 4_000_000,
            max_cd_num_files_load: 4_000_000,
            max_cd_size_in_bytes: 1 << 30,
            ..ZipOptions::untrusted()
        };
        let source = BufReader::with_capacity(64 * 1024, AssertAsync::new(file));
        let mut reader =
            block_on(ZipArchiveReader::open_with_options(source, options)).map_err(|e| bad(e.to_string()))?;
        let entries = list_entries(path, &reader)?;
        let by_path: HashMap<RelPath, usize> = entries
            .iter()
            .enumerate()
            .map(|(n, e)| (e.path.clone(), n))
            .collect();
        if by_path.len() != entries.len() {
            return Err(bad("it has two entries with the same name".to_owned()));
        }
        check_places(&entries).map_err(bad)?;
        let dist_info = find_dist_info(&entries, &name)
            .ok_or_else(|| bad("it has no `.dist-info` that matches its name".to_owned()))?;
        let mut text = |file: &str| -> Result<Option<Vec<u8>>> {
            let key = RelPath::parse(&format!("{dist_info}/{file}")).map_err(|e| bad(e.to_string()))?;
            by_path
                .get(&key)
                .map(|n| read_entry(path, &mut reader, &entries[*n]))
                .transpose()
        };
        let metadata_bytes = text("METADATA")?.ok_or_else(|| bad("it has no METADATA".to_owned()))?;
        let metadata = Metadata::parse(&String::from_utf8_lossy(&metadata_bytes))?;
        if metadata.package() != name.package || metadata.version != name.version {
            return Err(bad(format!(
                "its METADATA is for {} {}",
                metadata.name, metadata.version
            )));
        }
        let wheel = text("WHEEL")?.ok_or_else(|| bad("it has no WHEEL".to_owned()))?;
        check_wheel_version(&String::from_utf8_lossy(&wheel)).map_err(bad)?;
        let record = text("RECORD")?.ok_or_else(|| bad("it has no RECORD".to_owned()))?;
        let record = Record::parse(&String::from_utf8_lossy(&record));
        let entry_points = String::from_utf8(text("entry_points.txt")?.unwrap_or_default())
            .map_err(|_| bad(ENTRY_POINTS_NOT_TEXT.to_owned()))?;
        let entry_points = EntryPoints::parse(&entry_points);
        let path = path.to_path_buf();
        let reader = Mutex::new(reader);
        Ok(Self {
            path,
            name,
            reader,
            entries,
            by_path,
            dist_info,
            metadata,
            metadata_bytes,
            entry_points,
            record,
        })
    }

    /// Its file.
    pub fn path(&self) -> &Path {
        &self.path
    }
    /// Its parsed file name.
    pub fn name(&self) -> &WheelName {
        &self.name
    }
    /// Its metadata.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }
    /// The bytes of METADATA.
    pub fn metadata_bytes(&self) -> &[u8] {
        &self.metadata_bytes
    }
    /// Its entry points.
    pub fn entry_points(&self) -> &EntryPoints {
        &self.entry_points
    }
    /// The asset it is a release of, if it is one.
    pub fn asset_info(&self) -> Option<AssetInfo> {
        AssetInfo::from_metadata(&self.metadata, &self.entry_points)
    }
    /// Its files.
    pub fn entries(&self) -> &[WheelEntry] {
        &self.entries
    }
    /// The name of its `.dist-info` folder.
    pub fn dist_info(&self) -> &str {
        &self.dist_info
    }

    /// A file's bytes; files above 64 MiB are refused, unpack them instead.
    pub fn read(&self, path: &RelPath) -> Result<Option<Vec<u8>>> {
        let Some(position) = self.by_path.get(path) else {
            return Ok(None);
        };
        let mut reader = self
            .reader
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        read_entry(&self.path, &mut reader, &self.entries[*position]).map(Some)
    }

    /// A file of the `.dist-info` folder.
    pub fn read_dist_info(&self, name: &str) -> Result<Option<Vec<u8>>> {
        let path = RelPath::parse(&format!("{}/{name}", self.dist_info));
        self.read(&path.map_err(|source| Error::HostileEntry {
            path: self.path.clone(),
            source,
        })?)
    }

    /// Read every file and compare it with RECORD.
    pub fn check(&self) -> Result<()> {
        for entry in &self.entries {
            self.copy_entry(entry, &mut std::io::sink())?;
        }
        self.check_record_is_complete()
    }

    /// Every file is in RECORD, and RECORD names no other.
    pub(crate) fn check_record_is_complete(&self) -> Result<()> {
        let bad = |reason: String| Error::BadWheel {
            path: self.path.clone(),
            reason,
        };
        for path in self.record.entries.keys() {
            if !self.has(path) && !self.is_folder(path) {
                return Err(bad(format!("RECORD lists `{path}`, which is missing")));
            }
        }
        Ok(())
    }

    fn has(&self, path: &str) -> bool {
        RelPath::parse(path).is_ok_and(|path| self.by_path.contains_key(&path))
    }

    /// Whether files lie below a path: some builders name folders in RECORD.
    fn is_folder(&self, path: &str) -> bool {
        let is_below = |entry: &WheelEntry| {
            let rest = entry.path.as_str().strip_prefix(path);
            rest.is_some_and(|rest| rest.starts_with('/'))
        };
        self.entries.iter().any(is_below)
    }

    /// RECORD with the SHA-256 of each file that it has another digest of, given those that were found; `None` where it needs
    /// no change. Installing and checking an installation know SHA-256 only.
    pub(crate) fn record_with(&self, found: &HashMap<&str, Sha256>) -> Option<String> {
        if self.record.strong.is_empty() {
            return None;
        }
        let entries = self.record.entries.values();
        let entries = entries.filter(|entry| self.has(&entry.path) || !self.is_folder(&entry.path));
        let entries = entries.map(|entry| RecordEntry {
            sha256: entry.sha256.or_else(|| found.get(entry.path.as_str()).copied()),
            ..entry.clone()
        });
        Some(write_record(&entries.collect::<Vec<_>>()))
    }

    /// Stream a file out, verified against RECORD: an error after the last byte means the data must not be used. Returns its
    /// SHA-256.
    pub(crate) fn copy_entry(&self, entry: &WheelEntry, target: &mut dyn std::io::Write) -> Result<Sha256> {
        let bad = |reason: String| Error::BadWheel {
            path: self.path.clone(),
            reason,
        };
        let mut reader = self
            .reader
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut file =
            block_on(reader.file(entry.index)).map_err(|e| bad(format!("`{}`: {e}", entry.path)))?;
        let mut hasher = Sha256Hasher::new();
        let strong = self.record.strong.get(entry.path.as_str());
        let mut strong = strong.map(|digest| (digest, StrongHasher::like(digest)));
        let mut buffer = vec![0; 64 * 1024];
        let mut size = 0;
        loop {
            let read = block_on(file.read(&mut buffer)).map_err(|e| bad(format!("`{}`: {e}", entry.path)))?;
            if read == 0 {
                break;
            }
            size += read as u64;
            if size > entry.size {
                return Err(bad(format!(
                    "`{}` is longer than the archive declares",
                    entry.path
                )));
            }
            hasher.update(&buffer[..read]);
            if let Some((_, hasher)) = &mut strong {
                hasher.update(&buffer[..read]);
            }
            target.write_all(&buffer[..read])?;
        }
        if size != entry.size {
            return Err(bad(format!(
                "`{}` is shorter than the archive declares",
                entry.path
            )));
        }
        let digest = Sha256::from_bytes(hasher.finalize().into());
        let is_right = strong.map(|(digest, hasher)| hasher.digest() == *digest);
        self.check_digest(entry, size, digest, is_right)?;
        Ok(digest)
    }

    /// `is_right` is the result of comparing a longer digest, if RECORD has one.
    fn check_digest(
        &self,
        entry: &WheelEntry,
        size: u64,
        digest: Sha256,
        is_right: Option<bool>,
    ) -> Result<()> {
        let bad = |reason: String| Error::BadWheel {
            path: self.path.clone(),
            reason,
        };
        let signs = ["RECORD", "RECORD.jws", "RECORD.p7s"]
            .iter()
            .any(|f| entry.path.as_str() == format!("{}/{f}", self.dist_info));
        if signs {
            return Ok(());
        }
        let record = self.record.entries.get(entry.path.as_str());
        let record = record.ok_or_else(|| bad(format!("`{}` is not in RECORD", entry.path)))?;
        let is_proven = record.sha256.is_some() || is_right.is_some();
        if let Some(written) = self
            .record
            .unchecked
            .get(entry.path.as_str())
            .filter(|_| !is_proven)
        {
            return Err(bad(no_proof(&entry.path, written)));
        }
        let is_right = is_right.unwrap_or(record.sha256 == Some(digest));
        if !is_right || record.size.is_some_and(|s| s != size) {
            return Err(bad(format!("`{}` does not match RECORD", entry.path)));
        }
        Ok(())
    }
}

/// The SHA-256 and length of a file.
pub fn wheel_sha256(path: &Path) -> Result<(Sha256, u64)> {
    let mut file = fs::File::open(path)?;
    let mut hasher = Sha256Hasher::new();
    let mut buffer = vec![0; 64 * 1024];
    let mut size = 0;
    loop {
        let read = std::io::Read::read(&mut file, &mut buffer)?;
        if read == 0 {
            break;
        }
        size += read as u64;
        hasher.update(&buffer[..read]);
    }
    Ok((Sha256::from_bytes(hasher.finalize().into()), size))
}

fn list_entries(path: &Path, reader: &Reader) -> Result<Vec<WheelEntry>> {
    let bad = |reason: String| Error::BadWheel {
        path: path.to_path_buf(),
        reason,
    };
    let mut entries = Vec::with_capacity(reader.cdrs().len());
    let mut total = 0u64;
    for (index, record) in reader.cdrs().iter().enumerate() {
        let name = std::str::from_utf8(record.insecure_file_name.as_bytes())
            .map_err(|_| bad("an entry's name is not UTF-8".to_owned()))?;
        if name.ends_with('/') {
            continue;
        }
        let entry = RelPath::parse(name).map_err(|source| Error::HostileEntry {
            path: path.to_path_buf(),
            source,
        })?;
        let mode = record.cdrh.exter_attr >> 16;
        // The upper nibble is the file type: 0 is unknown, 8 a plain file. A link could point anywhere.
        if !matches!(mode >> 12, 0 | 8) {
            return Err(bad(format!("`{entry}` is not a regular file")));
        }
        if offset_of(record).is_none() {
            return Err(bad(format!("the offset of `{entry}` is missing")));
        }
        let size = record.uncompressed_size().map_err(|e| bad(e.to_string()))?;
        total = total.saturating_add(size);
        if total > MAX_TOTAL {
            return Err(bad("its files exceed 64 GiB in total".to_owned()));
        }
        entries.push(WheelEntry {
            path: entry,
            size,
            executable: mode & 0o111 != 0,
            index,
        });
    }
    Ok(entries)
}

/// Where an entry begins, if its record says so. The ZIP reader panics where one that points to a 64-bit offset has none.
pub(crate) fn offset_of(record: &CDR) -> Option<u64> {
    if record.cdrh.lfh_offset != u32::MAX {
        return Some(record.cdrh.lfh_offset.into());
    }
    match &record.find_ef(EFHID::EI64)?.efd {
        EFD::EI64(extended) => extended.relative_offset,
        _ => None,
    }
}

/// Why RECORD cannot verify a file, by the kind of its digest.
fn no_proof(path: &RelPath, written: &str) -> String {
    let Some((algorithm, _)) = written.split_once('=') else {
        return format!("RECORD has no digest of `{path}`");
    };
    let algorithm: String = algorithm.chars().take(40).collect();
    if ["sha256", "sha384", "sha512"].contains(&algorithm.as_str()) {
        return format!("RECORD has a malformed {algorithm} of `{path}`");
    }
    format!("RECORD has a digest of `{path}` by `{algorithm}`; only sha256, sha384 and sha512 are supported")
}

/// Why a path is too long to be in a wheel, if it is.
pub(crate) fn too_long(path: &str) -> Option<String> {
    let start = |text: &str| text.chars().take(40).collect::<String>();
    if path.len() > MAX_PATH {
        return Some(format!(
            "an entry has a path of {} bytes, more than {MAX_PATH}: `{}...`",
            path.len(),
            start(path)
        ));
    }
    let long = path.split('/').find(|part| part.len() > MAX_NAME)?;
    Some(format!(
        "an entry has a name of {} bytes, longer than the {MAX_NAME} of file systems: `{}...`",
        long.len(),
        start(long)
    ))
}

/// Whether a file system can hold all entries: no file is also a folder, and no name is too long. The reason if not.
fn check_places(entries: &[WheelEntry]) -> Result<(), String> {
    if let Some(reason) = entries.iter().find_map(|entry| too_long(entry.path.as_str())) {
        return Err(reason);
    }
    let files: HashSet<&str> = entries.iter().map(|entry| entry.path.as_str()).collect();
    for entry in entries {
        let path = entry.path.as_str();
        let mut folders = path.match_indices('/').map(|(at, _)| &path[..at]);
        if let Some(folder) = folders.find(|folder| files.contains(folder)) {
            return Err(format!("`{folder}` is both a file and the folder of `{path}`"));
        }
    }
    Ok(())
}

fn find_dist_info(entries: &[WheelEntry], name: &WheelName) -> Option<String> {
    let mut found = entries
        .iter()
        .filter_map(|e| e.path.parts().next())
        .filter(|folder| {
            let stem = folder.strip_suffix(".dist-info").and_then(|s| s.rsplit_once('-'));
            stem.is_some_and(|(package, version)| {
                backlot_pep::PackageName::parse(package).as_ref() == Ok(&name.package)
                    && backlot_pep::Version::parse(&version.replace('_', "+")).as_ref() == Ok(&name.version)
            })
        });
    found.next().map(ToOwned::to_owned)
}

fn read_entry(path: &Path, reader: &mut Reader, entry: &WheelEntry) -> Result<Vec<u8>> {
    let bad = |reason: String| Error::BadWheel {
        path: path.to_path_buf(),
        reason,
    };
    if entry.size > MAX_TEXT {
        return Err(bad(format!("`{}` is too large to read at once", entry.path)));
    }
    let file = block_on(reader.file(entry.index)).map_err(|e| bad(format!("`{}`: {e}", entry.path)))?;
    let mut bytes = Vec::new();
    block_on(file.take(MAX_TEXT + 1).read_to_end(&mut bytes))
        .map_err(|e| bad(format!("`{}`: {e}", entry.path)))?;
    if bytes.len() as u64 != entry.size {
        return Err(bad(format!(
            "the length of `{}` differs from the one in the archive",
            entry.path
        )));
    }
    Ok(bytes)
}

fn check_wheel_version(text: &str) -> Result<(), String> {
    let version = text
        .lines()
        .find_map(|l| l.strip_prefix("Wheel-Version:"))
        .map(str::trim);
    match version {
        Some(version) if version.split('.').next() == Some("1") => Ok(()),
        Some(version) => Err(format!("unsupported Wheel-Version {version}")),
        None => Err("its WHEEL has no Wheel-Version".to_owned()),
    }
}
