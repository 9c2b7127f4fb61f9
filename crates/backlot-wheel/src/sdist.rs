//! Source distributions (`name-version.tar.gz`): read, and built where that needs none of their code.
//!
//! The original engine publishes nothing else: pure projects of hatchling, whose wheels follow from the files in the
//! archive. Invariants: nothing of a package is ever run; an archive is read within stated bounds and has plain files and
//! folders below one folder only, or it is refused; the wheel's METADATA is the PKG-INFO, byte for byte, where that says
//! all. Deliberately absent: other build backends; see [`crate::hatchling`] for what is supported. Source: PEP 517, 625,
//! 643, 721.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufReader, Read, Write as _};
use std::path::{Path, PathBuf};

use backlot_core::bounded::Bounded;
use backlot_core::{Context, RelPath};
use backlot_pep::{PackageName, Version};
use flate2::read::MultiGzDecoder;
use fs_err as fs;
use tar::EntryType;

use crate::archive::too_long;
use crate::asset::AssetInfo;
use crate::build::{BuildOptions, BuiltWheel, build};
use crate::error::{Error, Result};
use crate::hatchling;
use crate::metadata::{Metadata, metadata_headers};
use crate::project::Project;

/// The most entries of an archive.
const MAX_ENTRIES: u64 = 200_000;
/// The most bytes an archive unpacks to, headers included.
const MAX_TOTAL: u64 = 8 << 30;
/// An archive may always unpack to this much,
const FREE_TOTAL: u64 = 64 << 20;
/// and beyond that to this multiple of its own size.
const MAX_RATIO: u64 = 100;
/// The error of one that has more.
const EXCEEDED: &str = "it unpacks to far more than its size, like a decompression bomb";
/// The most a text that is read into memory may have.
const MAX_TEXT: u64 = 16 << 20;
/// The most a long name or its PAX header may have.
const MAX_HEADER: u64 = 64 << 10;
/// The most all names may have together, each folder counted once.
const MAX_NAMES: usize = 64 << 20;
/// The longest path.
const MAX_PATH: usize = 4096;

/// Package and version of a source distribution, from its file name; `None` if it is not named as one.
pub fn sdist_name(file: &str) -> Option<(PackageName, Version)> {
    if !file.bytes().all(|b| b.is_ascii_graphic()) {
        return None;
    }
    let (package, version) = file.strip_suffix(".tar.gz")?.rsplit_once('-')?;
    Some((PackageName::parse(package).ok()?, Version::parse(version).ok()?))
}

/// A source distribution that was read.
#[derive(Debug)]
pub struct Sdist {
    path: PathBuf,
    metadata: Metadata,
    pkg_info: Vec<u8>,
    /// Whether that is the whole metadata.
    says_all: bool,
    /// Files that the metadata names as licences.
    licenses: Vec<RelPath>,
    pyproject: Option<String>,
    /// Its unsupported requirement.
    needs: Option<String>,
}

/// One file or folder of an archive.
struct Member {
    /// Its path below the archive's one folder.
    path: RelPath,
    folder: bool,
    executable: bool,
}

impl Sdist {
    /// Read a source distribution: the whole archive is looked at, nothing is unpacked.
    pub fn open(path: &Path) -> Result<Self> {
        let bad = |reason: String| Error::BadSdist {
            path: path.to_path_buf(),
            reason,
        };
        let file = path.file_name().unwrap_or_default().to_string_lossy();
        let (package, version) = sdist_name(&file).ok_or_else(|| bad("invalid file name".to_owned()))?;
        let is_wanted =
            |path: &RelPath| matches!(path.as_str(), "PKG-INFO" | "pyproject.toml" | "hatch.toml");
        let mut texts = read_texts(path, &is_wanted)?;
        let mut take = |name: &str| texts.remove(&RelPath::parse(name).ok()?);
        let pkg_info = take("PKG-INFO").ok_or_else(|| bad("it has no PKG-INFO".to_owned()))?;
        let metadata = Metadata::parse(&String::from_utf8_lossy(&pkg_info))?;
        if metadata.package() != package || metadata.version != version {
            return Err(bad(format!(
                "its PKG-INFO is for {} {}",
                metadata.name, metadata.version
            )));
        }
        let pyproject = take("pyproject.toml").map(String::from_utf8).transpose();
        let pyproject = pyproject.map_err(|_| bad("its pyproject.toml is not UTF-8".to_owned()))?;
        let mut sdist = Self {
            path: path.to_path_buf(),
            needs: hatchling::needs(pyproject.as_deref(), take("hatch.toml").is_some()),
            licenses: licenses(&pkg_info).map_err(|source| Error::HostileEntry {
                path: path.to_path_buf(),
                source,
            })?,
            metadata,
            pkg_info,
            says_all: true,
            pyproject,
        };
        sdist.complete()?;
        Ok(sdist)
    }

    /// Take the requirements from `[project]` where PKG-INFO does not say them.
    fn complete(&mut self) -> Result<()> {
        let (headers, _) = metadata_headers(&String::from_utf8_lossy(&self.pkg_info));
        let is_dynamic = headers
            .iter()
            .any(|(name, value)| name == "dynamic" && value.eq_ignore_ascii_case("requires-dist"));
        let says = !self.metadata.requires_dist.is_empty() || !self.metadata.invalid_requires.is_empty();
        if says && !is_dynamic {
            return Ok(());
        }
        let Some(text) = self.pyproject.as_deref().filter(|_| self.needs.is_none()) else {
            return Ok(());
        };
        let (requires, groups) = crate::project::declared(&self.path.join("pyproject.toml"), text)?;
        if !requires.is_empty() {
            self.metadata.requires_dist = requires;
            self.metadata.provides_extra = groups;
            self.says_all = false;
        }
        Ok(())
    }

    /// Its PKG-INFO, as in the archive.
    pub fn pkg_info(&self) -> &[u8] {
        &self.pkg_info
    }

    /// Its metadata.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// The asset that it is a release of, if it can be built here.
    pub fn asset_info(&self) -> Option<AssetInfo> {
        let text = self.pyproject.as_deref()?;
        let points = crate::project::declared_entry_points(text)?;
        AssetInfo::from_metadata(&self.metadata, &points)
    }

    /// [`Error::UnsupportedSdist`] unless [`Self::build`] needs none of its code.
    pub fn check_buildable(&self) -> Result<()> {
        match &self.needs {
            None => Ok(()),
            Some(reason) => Err(self.unsupported(reason.clone())),
        }
    }

    /// Unpack all files below `folder`, which is made and must be empty.
    pub fn unpack(&self, folder: &Path, context: &Context) -> Result<()> {
        fs::create_dir_all(folder)?;
        let mut block = vec![0; 64 * 1024];
        walk(&self.path, context, &mut |member, source| {
            let target = member.path.to_path(folder);
            if member.folder {
                return Ok(fs::create_dir_all(&target)?);
            }
            if let Some(parent) = target.parent() {
                fs::create_dir_all(parent)?;
            }
            let mut file = fs::OpenOptions::new()
                .write(true)
                .create_new(true)
                .open(&target)?;
            loop {
                let length = source.read(&mut block).map_err(|e| self.broken(&e))?;
                if length == 0 {
                    break;
                }
                file.write_all(&block[..length])?;
            }
            crate::unpack::set_mode(&target, if member.executable { 0o755 } else { 0o644 })
        })
    }

    /// Build its wheel in a folder, with nothing but what hatchling would put into it.
    pub fn build(&self, folder: &Path, generator: &str, context: &Context) -> Result<BuiltWheel> {
        self.check_buildable()?;
        let root = folder.join("source");
        self.unpack(&root, context)?;
        let mut project = Project::load_as(&root, Some(&self.metadata.version))?;
        if project.metadata.package() != self.metadata.package() {
            return Err(self.bad(format!("its pyproject.toml is for {}", project.metadata.name)));
        }
        let text = self.pyproject.as_deref().unwrap_or_default();
        let told = std::mem::take(&mut project.module_roots);
        project.module_roots = hatchling::module_roots(&root, text, &project.metadata.name, told)
            .ok_or_else(|| self.unsupported("hatchling cannot find its module".to_owned()))?;
        project.metadata = self.metadata.clone();
        let mut extra = BTreeMap::new();
        if self.says_all {
            extra.insert("METADATA".to_owned(), self.pkg_info.clone());
        }
        for license in &self.licenses {
            let bytes = fs::read(license.to_path(&root))?;
            extra.insert(format!("licenses/{license}"), bytes);
        }
        let options = BuildOptions {
            output: folder,
            exclude: &|_| false,
            whole: true,
            extra_dist_info: extra,
            planned: BTreeMap::new(),
            generator,
        };
        build(&project, &options, context)
    }

    /// The files whose paths are wanted; each may have 16 MiB.
    pub fn read(&self, wanted: &dyn Fn(&RelPath) -> bool) -> Result<BTreeMap<RelPath, Vec<u8>>> {
        read_texts(&self.path, wanted)
    }

    fn unsupported(&self, reason: String) -> Error {
        let file = self.path.file_name().unwrap_or_default();
        Error::UnsupportedSdist {
            file: file.to_string_lossy().into_owned(),
            reason,
        }
    }

    fn bad(&self, reason: String) -> Error {
        Error::BadSdist {
            path: self.path.clone(),
            reason,
        }
    }

    fn broken(&self, error: &std::io::Error) -> Error {
        self.bad(error.to_string())
    }
}

/// The licence files that PKG-INFO names (PEP 639).
fn licenses(pkg_info: &[u8]) -> Result<Vec<RelPath>, backlot_core::relpath::HostilePath> {
    let text = String::from_utf8_lossy(pkg_info);
    let (headers, _) = metadata_headers(&text);
    let named = headers.iter().filter(|(name, _)| name == "license-file");
    let paths: Result<BTreeSet<RelPath>, _> = named.map(|(_, path)| RelPath::parse(path)).collect();
    Ok(paths?.into_iter().collect())
}

fn read_texts(path: &Path, wanted: &dyn Fn(&RelPath) -> bool) -> Result<BTreeMap<RelPath, Vec<u8>>> {
    let mut found = BTreeMap::new();
    walk(path, &Context::default(), &mut |member, source| {
        if !member.folder && wanted(&member.path) {
            let bytes = read_small(source, MAX_TEXT).map_err(|reason| Error::BadSdist {
                path: path.to_path_buf(),
                reason: format!("`{}`: {reason}", member.path),
            })?;
            found.insert(member.path.clone(), bytes);
        }
        Ok(())
    })?;
    Ok(found)
}

/// Check every file and folder of an archive, in its order. The rules for archives are enforced here.
fn walk(
    path: &Path,
    context: &Context,
    each: &mut dyn FnMut(&Member, &mut dyn Read) -> Result<()>,
) -> Result<()> {
    let bad = |reason: String| Error::BadSdist {
        path: path.to_path_buf(),
        reason,
    };
    let file = fs::File::open(path)?;
    let packed = file.metadata()?.len();
    let bound = packed.saturating_mul(MAX_RATIO).clamp(FREE_TOTAL, MAX_TOTAL);
    let unpacked = MultiGzDecoder::new(BufReader::with_capacity(64 * 1024, file));
    let mut archive = tar::Archive::new(Bounded::new(unpacked, bound, EXCEEDED));
    // Raw, since the library would read names of any length into memory.
    let entries = archive.entries().map_err(|e| bad(e.to_string()))?.raw(true);
    let mut names = Names::default();
    let mut long_name = None;
    for (count, entry) in (1..).zip(entries) {
        context.check()?;
        if count > MAX_ENTRIES {
            return Err(bad(format!("it has more than {MAX_ENTRIES} entries")));
        }
        let mut entry = entry.map_err(|e| bad(e.to_string()))?;
        let kind = entry.header().entry_type();
        match kind {
            EntryType::XHeader => {
                let header = read_small(&mut entry, MAX_HEADER).map_err(bad)?;
                long_name = pax_path(&header).map_err(bad)?.or(long_name);
                continue;
            }
            EntryType::GNULongName => {
                let name = read_small(&mut entry, MAX_HEADER).map_err(bad)?;
                let end = name.iter().position(|b| *b == 0).unwrap_or(name.len());
                long_name = Some(name[..end].to_vec());
                continue;
            }
            // It says something of the whole archive, as a rule the commit it was made of.
            EntryType::XGlobalHeader => continue,
            _ => {}
        }
        let name = long_name
            .take()
            .unwrap_or_else(|| entry.path_bytes().into_owned());
        let name = String::from_utf8(name).map_err(|_| bad("an entry's name is not UTF-8".to_owned()))?;
        if !matches!(kind, EntryType::Regular | EntryType::Directory) {
            let name: String = name.escape_debug().take(100).collect();
            return Err(bad(format!("`{name}` is not a regular file or folder")));
        }
        // Of old, a folder was a file whose name ends so.
        let folder = kind == EntryType::Directory || name.ends_with('/');
        if let Some(reason) = too_long(name.trim_end_matches('/')) {
            return Err(bad(reason));
        }
        let full = RelPath::parse(name.trim_end_matches('/')).map_err(|source| Error::HostileEntry {
            path: path.to_path_buf(),
            source,
        })?;
        let Some(inner) = names.add(&full, folder).map_err(bad)? else {
            continue;
        };
        let member = Member {
            path: inner,
            folder,
            executable: entry.header().mode().is_ok_and(|mode| mode & 0o111 != 0),
        };
        each(&member, &mut entry)?;
    }
    Ok(())
}

/// The names of an archive so far: all below one folder, no file twice, no file where a folder is.
#[derive(Default)]
struct Names {
    top: Option<String>,
    files: BTreeSet<RelPath>,
    folders: BTreeSet<RelPath>,
    /// The bytes of all names.
    held: usize,
}

impl Names {
    /// The path below the one folder; `None` for that folder itself.
    fn add(&mut self, full: &RelPath, folder: bool) -> Result<Option<RelPath>, String> {
        self.held += full.as_str().len();
        if full.as_str().len() > MAX_PATH || self.held > MAX_NAMES {
            return Err("its names are too long".to_owned());
        }
        let (top, inner) = match full.as_str().split_once('/') {
            Some((top, inner)) => (top, Some(inner)),
            None => (full.as_str(), None),
        };
        if self.top.get_or_insert_with(|| top.to_owned()) != top {
            return Err(format!("`{full}` is not in its folder"));
        }
        let Some(inner) = inner else {
            return if folder {
                Ok(None)
            } else {
                Err(format!("`{full}` is not in its folder"))
            };
        };
        let inner = RelPath::parse(inner).map_err(|e| e.to_string())?;
        let mut above = inner.parent();
        while let Some(folder) = above {
            if self.files.contains(&folder) {
                return Err(format!("`{folder}` is both a file and a folder"));
            }
            above = folder.parent();
            self.held += folder.as_str().len();
            if !self.folders.insert(folder) {
                break;
            }
        }
        let fits = if folder {
            self.folders.insert(inner.clone());
            !self.files.contains(&inner)
        } else {
            !self.folders.contains(&inner) && self.files.insert(inner.clone())
        };
        if fits {
            Ok(Some(inner))
        } else {
            Err(format!("it has `{full}` twice"))
        }
    }
}

/// The next entry's name in a PAX header. A size beyond what a plain header holds, and files with holes, are
/// refused: no package needs them.
fn pax_path(header: &[u8]) -> Result<Option<Vec<u8>>, String> {
    let mut path = None;
    for extension in tar::PaxExtensions::new(header) {
        let extension = extension.map_err(|e| e.to_string())?;
        match extension.key().map_err(|e| e.to_string())? {
            "path" => path = Some(extension.value_bytes().to_vec()),
            key @ "size" => return Err(format!("it has a PAX header `{key}`")),
            key if key.starts_with("GNU.sparse") => return Err(format!("it has a PAX header `{key}`")),
            _ => {}
        }
    }
    Ok(path)
}

fn read_small(source: &mut (impl Read + ?Sized), limit: u64) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    source
        .take(limit + 1)
        .read_to_end(&mut bytes)
        .map_err(|e| e.to_string())?;
    if bytes.len() as u64 > limit {
        return Err(format!("it has more than {limit} bytes"));
    }
    Ok(bytes)
}
