//! The file in which what the releases of a repo say of themselves is kept: read whole, and decoded only where somebody asks.
//!
//! `MessagePack` after a magic line and the BLAKE3 of the rest. Texts and exact inputs are in tables, since releases share most of them; what a release
//! says is a piece of bytes with numbers of these tables, which only grow while a file is written anew from the one before: so most pieces are copied and not
//! read. Invariant: a file whose digest does not match, or that is of another format, counts as absent. The format is in
//! `docs/format/release-index.md`. Deliberately absent: repos.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use backlot_core::{Sha256, file, shared};
use backlot_pep::{GroupName, PackageName, Requirement, Version};
use backlot_repo::Revision;
use serde::{Deserialize, Serialize};
use serde_bytes::{ByteArray, Bytes};

use crate::error::Result;
use crate::project::provenance::{BuildRecord, ExactInput};

/// The first bytes of a file, and of the digest behind them.
const MAGIC: &[u8] = b"backlot release index 2\n";
const DIGEST: usize = 32;

/// A package in an index.
#[derive(Debug, Default)]
pub(crate) struct IndexedPackage {
    /// The sign of what the repo had; `None` where nothing tells a change.
    pub(crate) stamp: Option<Revision>,
    /// Its releases, oldest version first.
    pub(crate) releases: Vec<IndexedRelease>,
}

/// A release in an index.
#[derive(Debug)]
pub(crate) struct IndexedRelease {
    pub(crate) version: Version,
    /// The digest of the file that stands for the release: of a wheel that runs everywhere, where there is one.
    pub(crate) sha256: Sha256,
    /// SHA-256 of what a build reads of it: that of the file where it says nothing better.
    pub(crate) content: Sha256,
    /// Those of its other files.
    pub(crate) others: Vec<Sha256>,
    pub(crate) yanked: Option<String>,
    pub(crate) deprecated: Option<String>,
    pub(crate) requires_python: Option<String>,
    /// Whether one of its requirements cannot be read, so that it may need anything.
    pub(crate) unclear: bool,
    pub(crate) about: LazyAbout,
    pub(crate) requirements: OnceLock<Vec<Requirement>>,
}

/// What a release says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct About {
    /// Its requirements, as METADATA has them.
    pub(crate) requires: Vec<String>,
    pub(crate) groups: Vec<GroupName>,
    /// The asset's name, if it is one.
    pub(crate) asset: Option<String>,
    /// What it was made of, if it says so.
    pub(crate) record: Option<BuildRecord>,
}

impl IndexedRelease {
    /// What it says of itself.
    pub(crate) fn about(&self) -> &About {
        self.about.get()
    }

    /// Its requirements with their markers.
    pub(crate) fn requirements(&self) -> &[Requirement] {
        self.requirements.get_or_init(|| {
            let parsed = self.about().requires.iter().map(|text| Requirement::parse(text));
            parsed.filter_map(std::result::Result::ok).collect()
        })
    }
}

impl IndexedPackage {
    /// The release that people mean by the package: the newest that is not yanked and no pre-release, as far as there is one.
    pub(crate) fn newest(&self) -> Option<&IndexedRelease> {
        self.releases.iter().max_by_key(|release| {
            (
                release.yanked.is_none(),
                !release.version.is_prerelease(),
                &release.version,
            )
        })
    }
}

/// A whole file.
#[derive(Serialize, Deserialize)]
struct Stored<'a> {
    #[serde(borrow)]
    texts: Vec<&'a str>,
    inputs: Vec<StoredInput>,
    /// A package each, encoded by itself, so that only one is decoded at a time.
    #[serde(borrow)]
    packages: Vec<&'a Bytes>,
}

/// An exact input of one release or more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
struct StoredInput {
    package: u32,
    version: u32,
    sha256: Option<ByteArray<32>>,
    editable: bool,
}

#[derive(Serialize, Deserialize)]
struct StoredPackage<'a> {
    name: u32,
    stamp: Option<Revision>,
    #[serde(borrow)]
    releases: Vec<StoredRelease<'a>>,
}

#[derive(Serialize, Deserialize)]
struct StoredRelease<'a> {
    version: u32,
    sha256: ByteArray<32>,
    content: ByteArray<32>,
    others: Vec<ByteArray<32>>,
    yanked: Option<&'a str>,
    deprecated: Option<&'a str>,
    requires_python: Option<u32>,
    unclear: bool,
    #[serde(borrow)]
    about: &'a Bytes,
}

/// What a release says, by the numbers of texts and inputs.
#[derive(Serialize, Deserialize)]
struct StoredAbout {
    requires: Vec<u32>,
    groups: Vec<u32>,
    asset: Option<u32>,
    record: Option<StoredRecord>,
}

#[derive(Serialize, Deserialize)]
struct StoredRecord {
    inputs: Vec<u32>,
    missing: Vec<u32>,
    recipe: ByteArray<32>,
    content: ByteArray<32>,
    based_on: Option<u32>,
    settings: backlot_cascade::Settings,
    rebuilt_by: Option<u32>,
}

/// The bytes of a file, with its tables.
#[derive(Debug)]
struct Tables {
    bytes: Arc<Vec<u8>>,
    texts: Vec<Range<usize>>,
    inputs: Vec<(StoredInput, OnceLock<Option<ExactInput>>)>,
}

impl Tables {
    fn text(&self, number: u32) -> Option<&str> {
        let range = self.texts.get(number as usize)?;
        std::str::from_utf8(self.bytes.get(range.clone())?).ok()
    }

    fn input(&self, number: u32) -> Option<&ExactInput> {
        let (stored, known) = self.inputs.get(number as usize)?;
        let read = || {
            Some(ExactInput {
                package: PackageName::parse(self.text(stored.package)?).ok()?,
                version: Version::parse(self.text(stored.version)?).ok()?,
                sha256: stored.sha256.map(|digest| Sha256::from_bytes(*digest)),
                editable: stored.editable,
            })
        };
        known.get_or_init(read).as_ref()
    }

    /// `None` for bytes that are not those of a release, which a file with the right digest does not have.
    fn about(&self, piece: Range<usize>) -> Option<About> {
        let stored: StoredAbout = rmp_serde::from_slice(self.bytes.get(piece)?).ok()?;
        let owned = |number: &u32| self.text(*number).map(str::to_owned);
        let record = match stored.record {
            Some(record) => Some(BuildRecord {
                inputs: record
                    .inputs
                    .iter()
                    .map(|at| self.input(*at).cloned())
                    .collect::<Option<_>>()?,
                missing: record.missing.iter().map(owned).collect::<Option<_>>()?,
                recipe: Sha256::from_bytes(*record.recipe),
                content: Sha256::from_bytes(*record.content),
                based_on: match record.based_on {
                    Some(number) => Some(Version::parse(self.text(number)?).ok()?),
                    None => None,
                },
                cascade: record.settings,
                rebuilt_by: record
                    .rebuilt_by
                    .as_ref()
                    .and_then(owned)
                    .map(backlot_cascade::CascadeId),
            }),
            None => None,
        };
        Some(About {
            requires: stored.requires.iter().map(owned).collect::<Option<_>>()?,
            groups: stored
                .groups
                .iter()
                .map(|number| GroupName::parse(self.text(*number)?).ok())
                .collect::<Option<_>>()?,
            asset: stored.asset.as_ref().and_then(owned),
            record,
        })
    }
}

/// What a release says of itself, decoded when it is first asked for.
#[derive(Clone, Debug, Default)]
pub(crate) struct LazyAbout {
    known: OnceLock<Box<About>>,
    kept: Option<(Arc<Tables>, Range<usize>)>,
}

impl From<About> for LazyAbout {
    fn from(about: About) -> Self {
        Self {
            known: OnceLock::from(Box::new(about)),
            kept: None,
        }
    }
}

impl LazyAbout {
    pub(crate) fn get(&self) -> &About {
        self.known.get_or_init(|| {
            let kept = self.kept.as_ref();
            let about = kept.and_then(|(tables, piece)| tables.about(piece.clone()));
            Box::new(about.unwrap_or_default())
        })
    }
}

/// Read a file; empty if there is none that can be used.
pub(crate) fn load(path: &Path) -> Result<BTreeMap<PackageName, IndexedPackage>> {
    let bytes = file::read_if_exists(path)?;
    Ok(bytes.and_then(parse).unwrap_or_default())
}

fn parse(bytes: Vec<u8>) -> Option<BTreeMap<PackageName, IndexedPackage>> {
    let bytes = Arc::new(bytes);
    let rest = bytes.strip_prefix(MAGIC)?;
    let (digest, body) = rest.split_at_checked(DIGEST)?;
    if blake3::hash(body).as_bytes() != digest {
        return None;
    }
    let stored: Stored<'_> = rmp_serde::from_slice(body).ok()?;
    let start = bytes.as_ptr() as usize;
    let place = |piece: &[u8]| {
        let from = piece.as_ptr() as usize - start;
        from..from + piece.len()
    };
    let texts = stored.texts.iter().map(|text| place(text.as_bytes())).collect();
    let inputs = stored
        .inputs
        .into_iter()
        .map(|input| (input, OnceLock::new()))
        .collect();
    let tables = Arc::new(Tables {
        bytes: Arc::clone(&bytes),
        texts,
        inputs,
    });
    // Most versions are those of many packages.
    let mut versions: HashMap<u32, Version> = HashMap::new();
    let mut version = |number: u32| {
        if let Some(version) = versions.get(&number) {
            return Some(version.clone());
        }
        let version = Version::parse(tables.text(number)?).ok()?;
        versions.insert(number, version.clone());
        Some(version)
    };
    let packages = stored.packages.iter().map(|package| {
        let package: StoredPackage<'_> = rmp_serde::from_slice(package).ok()?;
        let releases = package.releases.iter().map(|release| {
            let others = release.others.iter().map(|digest| Sha256::from_bytes(**digest));
            let text = |number: u32| tables.text(number).map(str::to_owned);
            Some(IndexedRelease {
                version: version(release.version)?,
                sha256: Sha256::from_bytes(*release.sha256),
                content: Sha256::from_bytes(*release.content),
                others: others.collect(),
                yanked: release.yanked.map(str::to_owned),
                deprecated: release.deprecated.map(str::to_owned),
                requires_python: release.requires_python.and_then(text),
                unclear: release.unclear,
                about: LazyAbout {
                    known: OnceLock::new(),
                    kept: Some((Arc::clone(&tables), place(release.about))),
                },
                requirements: OnceLock::new(),
            })
        });
        let name = PackageName::parse(tables.text(package.name)?).ok()?;
        let releases = releases.collect::<Option<Vec<_>>>()?;
        let stamp = package.stamp;
        Some((name, IndexedPackage { stamp, releases }))
    });
    packages.collect()
}

/// Write a file, atomically. Pieces are copied from the file that most of them were read from.
pub(crate) fn write(path: &Path, packages: &BTreeMap<PackageName, IndexedPackage>) -> Result<()> {
    let mut releases = packages.values().flat_map(|package| &package.releases);
    let before = releases.find_map(|release| release.about.kept.as_ref());
    let mut writer = Writer::after(before.map(|(tables, _)| Arc::clone(tables)));
    let mut bytes = [MAGIC, &[0; DIGEST]].concat();
    let encoded = writer.packages(packages);
    let texts: Vec<&str> = writer.texts.iter().map(|text| &**text).collect();
    let encoded = encoded
        .iter()
        .map(|package| rmp_serde::to_vec(&package.stored()).expect("plain data"));
    let encoded: Vec<Vec<u8>> = encoded.collect();
    let stored = Stored {
        texts,
        inputs: writer.inputs.clone(),
        packages: encoded.iter().map(|package| Bytes::new(package)).collect(),
    };
    rmp_serde::encode::write(&mut bytes, &stored).expect("plain data");
    let digest = blake3::hash(&bytes[MAGIC.len() + DIGEST..]);
    bytes[MAGIC.len()..MAGIC.len() + DIGEST].copy_from_slice(digest.as_bytes());
    Ok(shared::write_for_now(path, &bytes)?)
}

/// A package as it will be stored, and the bytes that it refers to.
struct Encoded<'a> {
    name: u32,
    package: &'a IndexedPackage,
    releases: Vec<EncodedRelease<'a>>,
}

struct EncodedRelease<'a> {
    version: u32,
    requires_python: Option<u32>,
    about: Cow<'a, [u8]>,
}

impl Encoded<'_> {
    fn stored(&self) -> StoredPackage<'_> {
        let releases = self.package.releases.iter().zip(&self.releases);
        let releases = releases.map(|(release, encoded)| StoredRelease {
            version: encoded.version,
            sha256: ByteArray::new(*release.sha256.as_bytes()),
            content: ByteArray::new(*release.content.as_bytes()),
            others: release
                .others
                .iter()
                .map(|digest| ByteArray::new(*digest.as_bytes()))
                .collect(),
            yanked: release.yanked.as_deref(),
            deprecated: release.deprecated.as_deref(),
            requires_python: encoded.requires_python,
            unclear: release.unclear,
            about: Bytes::new(&encoded.about),
        });
        StoredPackage {
            name: self.name,
            stamp: self.package.stamp.clone(),
            releases: releases.collect(),
        }
    }
}

/// The tables of a file that is written: those of the one before, and what is new.
struct Writer {
    before: Option<Arc<Tables>>,
    texts: Vec<Arc<str>>,
    inputs: Vec<StoredInput>,
    known_texts: HashMap<Arc<str>, u32>,
    known_inputs: HashMap<StoredInput, u32>,
}

impl Writer {
    fn after(before: Option<Arc<Tables>>) -> Self {
        let mut writer = Self {
            before: None,
            texts: Vec::new(),
            inputs: Vec::new(),
            known_texts: HashMap::new(),
            known_inputs: HashMap::new(),
        };
        if let Some(tables) = &before {
            for number in 0..tables.texts.len() {
                let number = u32::try_from(number).unwrap_or(u32::MAX);
                writer.add_text(tables.text(number).unwrap_or_default());
            }
            for (input, _) in &tables.inputs {
                writer.add_input(*input);
            }
        }
        writer.before = before;
        writer
    }

    fn add_text(&mut self, text: &str) -> u32 {
        let number = u32::try_from(self.texts.len()).unwrap_or(u32::MAX);
        let text: Arc<str> = text.into();
        self.texts.push(Arc::clone(&text));
        self.known_texts.entry(text).or_insert(number);
        number
    }

    fn add_input(&mut self, input: StoredInput) -> u32 {
        let number = u32::try_from(self.inputs.len()).unwrap_or(u32::MAX);
        self.inputs.push(input);
        self.known_inputs.entry(input).or_insert(number);
        number
    }

    fn text(&mut self, text: &str) -> u32 {
        match self.known_texts.get(text) {
            Some(number) => *number,
            None => self.add_text(text),
        }
    }

    fn input(&mut self, input: &ExactInput) -> u32 {
        let stored = StoredInput {
            package: self.text(input.package.as_str()),
            version: self.text(&input.version.to_string()),
            sha256: input.sha256.map(|digest| ByteArray::new(*digest.as_bytes())),
            editable: input.editable,
        };
        match self.known_inputs.get(&stored) {
            Some(number) => *number,
            None => self.add_input(stored),
        }
    }

    fn packages<'a>(&mut self, packages: &'a BTreeMap<PackageName, IndexedPackage>) -> Vec<Encoded<'a>> {
        let encoded = packages.iter().map(|(name, package)| Encoded {
            name: self.text(name.as_str()),
            releases: package
                .releases
                .iter()
                .map(|release| EncodedRelease {
                    version: self.text(&release.version.to_string()),
                    requires_python: release.requires_python.as_ref().map(|text| self.text(text)),
                    about: self.about(&release.about),
                })
                .collect(),
            package,
        });
        encoded.collect()
    }

    fn about<'a>(&mut self, about: &'a LazyAbout) -> Cow<'a, [u8]> {
        if let (Some(before), Some((tables, piece))) = (&self.before, &about.kept)
            && Arc::ptr_eq(before, tables)
            && let Some(bytes) = tables.bytes.get(piece.clone())
        {
            return bytes.into();
        }
        let about = about.get();
        let stored = StoredAbout {
            requires: about.requires.iter().map(|text| self.text(text)).collect(),
            groups: about
                .groups
                .iter()
                .map(|group| self.text(group.as_str()))
                .collect(),
            asset: about.asset.as_ref().map(|text| self.text(text)),
            record: about.record.as_ref().map(|record| self.record(record)),
        };
        rmp_serde::to_vec(&stored).expect("plain data").into()
    }

    fn record(&mut self, record: &BuildRecord) -> StoredRecord {
        StoredRecord {
            inputs: record.inputs.iter().map(|input| self.input(input)).collect(),
            missing: record.missing.iter().map(|text| self.text(text)).collect(),
            recipe: ByteArray::new(*record.recipe.as_bytes()),
            content: ByteArray::new(*record.content.as_bytes()),
            based_on: record
                .based_on
                .as_ref()
                .map(|version| self.text(&version.to_string())),
            settings: record.cascade.clone(),
            rebuilt_by: record.rebuilt_by.as_ref().map(|cascade| self.text(&cascade.0)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(releases: Vec<IndexedRelease>) -> IndexedPackage {
        IndexedPackage {
            stamp: None,
            releases,
        }
    }

    fn release(version: &str, about: LazyAbout) -> IndexedRelease {
        let version = Version::parse(version).expect("a version");
        IndexedRelease {
            sha256: digest(&version.to_string()),
            content: digest("content"),
            others: vec![digest("other")],
            yanked: Some("broken".to_owned()),
            deprecated: None,
            requires_python: Some(">=3.9".to_owned()),
            unclear: true,
            about,
            requirements: OnceLock::new(),
            version,
        }
    }

    fn digest(text: &str) -> Sha256 {
        crate::cascade::studio::stand_in(&[text])
    }

    fn about(input: &str) -> About {
        About {
            requires: vec!["table>=1 ; extra == \"build\"".to_owned()],
            groups: vec![GroupName::parse("build").expect("a group")],
            asset: Some("Kitchen".to_owned()),
            record: Some(BuildRecord {
                inputs: vec![ExactInput {
                    package: PackageName::parse(input).expect("a name"),
                    version: Version::parse("1.0").expect("a version"),
                    sha256: Some(digest(input)),
                    editable: false,
                }],
                missing: vec!["chair".to_owned()],
                recipe: digest("recipe"),
                content: digest("content"),
                based_on: Some(Version::parse("0.9").expect("a version")),
                cascade: backlot_cascade::Settings {
                    resources: BTreeMap::from([("gpu".to_owned(), 2)]),
                    ..backlot_cascade::Settings::default()
                },
                rebuilt_by: Some(backlot_cascade::CascadeId("3f".to_owned())),
            }),
        }
    }

    fn name(text: &str) -> PackageName {
        PackageName::parse(text).expect("a name")
    }

    #[test]
    fn what_was_written_is_read_again_also_from_a_file_that_was_made_from_one_before() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("x.index");
        let kitchen = package(vec![release("1.0", about("table").into())]);
        write(&path, &BTreeMap::from([(name("kitchen"), kitchen)])).expect("written");
        let mut read = load(&path).expect("read");
        assert_eq!(read[&name("kitchen")].releases[0].about(), &about("table"));
        // Another package comes before it, and another release after it.
        let releases = &mut read.get_mut(&name("kitchen")).expect("a package").releases;
        releases.push(release("1.1", about("chair").into()));
        read.insert(
            name("attic"),
            package(vec![release("3.0", LazyAbout::from(About::default()))]),
        );
        write(&path, &read).expect("written");
        let read = load(&path).expect("read");
        let kitchen = &read[&name("kitchen")].releases;
        assert_eq!(kitchen[0].about(), &about("table"));
        assert_eq!(kitchen[1].about(), &about("chair"));
        assert_eq!(read[&name("attic")].releases[0].about(), &About::default());
        let (first, again) = (&kitchen[0], release("1.0", LazyAbout::default()));
        assert_eq!(
            (&first.version, first.sha256, first.content, &first.others),
            (&again.version, again.sha256, again.content, &again.others)
        );
        assert_eq!(
            (
                &first.yanked,
                &first.deprecated,
                &first.requires_python,
                first.unclear
            ),
            (
                &again.yanked,
                &again.deprecated,
                &again.requires_python,
                again.unclear
            )
        );
    }

    #[test]
    fn a_file_that_is_damaged_or_cut_short_counts_as_absent() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("x.index");
        let kitchen = package(vec![release("1.0", about("table").into())]);
        write(&path, &BTreeMap::from([(name("kitchen"), kitchen)])).expect("written");
        let whole = fs_err::read(&path).expect("read");
        for at in 0..whole.len() {
            let mut changed = whole.clone();
            changed[at] ^= 1;
            fs_err::write(&path, &changed).expect("written");
            assert!(load(&path).expect("read").is_empty(), "{at}");
            fs_err::write(&path, &whole[..at]).expect("written");
            assert!(load(&path).expect("read").is_empty(), "{at}");
        }
    }
}
