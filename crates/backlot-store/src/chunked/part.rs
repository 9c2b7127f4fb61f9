//! Parts: the files that one node of a farm stored for a job, and the releases that were made from them.
//!
//! A node that renders some frames of a sequence has no workspace and shares no disk with the others; what it leaves for
//! the publisher is a part. Format in `docs/format/remote-chunked.md`: a magic number, canonical JSON, a seal. A part is
//! hostile input: its digest is checked, then every field, and bytes that are not exactly what this module writes are
//! refused. Invariants: written once, whole, under a name that is never used twice; paths are safe, sorted and unique.
//! Deliberately absent: the content (recipes have it), and which file of several wins (`backlot-dvc`).

use std::fmt;
use std::str::FromStr;

use backlot_core::clock::Timestamp;
use backlot_core::{Blake3, Md5, RelPath};
use serde::{Deserialize, Serialize};

use super::name::StoredName;
use super::wire::{seal, unseal};
use crate::error::Error;
use crate::object::{FileDigests, ObjectId};

const PART: [u8; 8] = *b"BKLPART1";
const RELEASE: [u8; 8] = *b"BKLDONE1";
const FORMAT: u32 = 1;
/// The size limit of a part: more than 500,000 files, and the memory limit of a reader of an untrusted remote.
pub(super) const MOST_BYTES: u64 = 128 << 20;
/// Bytes of a text in a part, such as the name of a node.
const MOST_TEXT: usize = 256;
/// Characters of a job's ID.
const MOST_ID: usize = 100;

/// The ID of a farm job: up to 100 letters, digits, `.`, `-` and `_`, the first of which is a letter or a digit.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct JobId(String);

impl JobId {
    /// The folder of its parts. Disks that ignore case would mix two jobs; readers tell them apart by what is inside.
    pub(super) fn folder(&self) -> String {
        self.0.to_ascii_lowercase()
    }
    /// As it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for JobId {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self, Error> {
        let first = text.starts_with(|c: char| c.is_ascii_alphanumeric());
        let all = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'-' | b'_');
        if first && text.len() <= MOST_ID && text.bytes().all(all) {
            Ok(Self(text.to_owned()))
        } else {
            Err(Error::BadJobId { id: text.to_owned() })
        }
    }
}
impl TryFrom<String> for JobId {
    type Error = Error;
    fn try_from(text: String) -> Result<Self, Error> {
        text.parse()
    }
}
impl From<JobId> for String {
    fn from(id: JobId) -> Self {
        id.0
    }
}
impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The metadata of a part from a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartHead {
    /// The job.
    pub job: JobId,
    /// The tracked folder that its files belong to, relative to the asset.
    pub folder: RelPath,
    /// The node.
    pub node: String,
    /// The user that ran the job.
    pub user: String,
    /// When, by the node's clock: for people only, nothing is ordered by it.
    pub time: Timestamp,
    /// The program and its version.
    pub tool: String,
}

/// A file of a part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartFile {
    /// Its path in the folder.
    pub path: RelPath,
    /// Its content.
    pub digests: FileDigests,
}

impl PartFile {
    /// The object that it is on the remote.
    pub const fn id(&self) -> ObjectId {
        ObjectId::file(self.digests.md5)
    }
}

/// A part on a remote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Its name.
    pub name: StoredName,
    /// When it was stored, by the clock of the remote's service; `None` if unknown.
    pub stored: Option<Timestamp>,
    /// The metadata from the node.
    pub head: PartHead,
    /// Its files, sorted by path.
    pub files: Vec<PartFile>,
}

/// A release that was made from parts of a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobRelease {
    format: u32,
    /// The job.
    pub job: JobId,
    /// The package.
    pub package: String,
    /// Its version.
    pub version: String,
    /// Where it was released.
    pub repo: String,
    /// The author.
    pub user: String,
    /// The parts that it was made from, sorted.
    pub parts: Vec<StoredName>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPart {
    format: u32,
    job: JobId,
    folder: RelPath,
    node: String,
    user: String,
    time: Timestamp,
    tool: String,
    files: Vec<RawFile>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFile {
    path: RelPath,
    md5: Md5,
    blake3: Blake3,
    size: u64,
}

/// A short text of one line, as a part may have it.
fn short(text: &str) -> String {
    let mut line = backlot_core::text::printable(text);
    while line.len() > MOST_TEXT {
        line.pop();
    }
    line
}

fn is_short(text: &str) -> bool {
    text.len() <= MOST_TEXT && !text.contains(char::is_control)
}

fn sealed(magic: [u8; 8], json: &[u8]) -> Vec<u8> {
    let mut bytes = magic.to_vec();
    bytes.extend_from_slice(json);
    seal(&mut bytes);
    bytes
}

/// The JSON of a sealed object, proven.
fn opened(magic: [u8; 8], bytes: &[u8]) -> Result<&[u8], String> {
    let json = unseal(bytes)?.strip_prefix(&magic);
    Ok(json.ok_or("it has no valid header")?)
}

fn check_format(json: &[u8]) -> Result<(), String> {
    #[derive(Deserialize)]
    struct Version {
        format: u32,
    }
    let version: Version = serde_json::from_slice(json).map_err(|e| e.to_string())?;
    if version.format == FORMAT {
        Ok(())
    } else {
        let found = version.format;
        Err(format!(
            "it has format {found}, but this version of Backlot supports format {FORMAT}"
        ))
    }
}

impl PartHead {
    /// The bytes of a part with some files. The order of the files does not matter.
    pub(super) fn to_bytes(&self, files: &[PartFile]) -> Vec<u8> {
        sealed(PART, &self.to_json(files))
    }

    /// The sealed data.
    fn to_json(&self, files: &[PartFile]) -> Vec<u8> {
        let file = |file: &PartFile| RawFile {
            path: file.path.clone(),
            md5: file.digests.md5,
            blake3: file.digests.blake3,
            size: file.digests.size,
        };
        let mut files: Vec<RawFile> = files.iter().map(file).collect();
        files.sort_by(|a, b| a.path.as_str().cmp(b.path.as_str()));
        let raw = RawPart {
            format: FORMAT,
            job: self.job.clone(),
            folder: self.folder.clone(),
            node: short(&self.node),
            user: short(&self.user),
            time: self.time,
            tool: short(&self.tool),
            files,
        };
        serde_json::to_vec(&raw).unwrap_or_default()
    }
}

impl Part {
    /// Read a part that was listed. The error is a reason for people.
    pub(super) fn parse(name: StoredName, stored: Option<Timestamp>, bytes: &[u8]) -> Result<Self, String> {
        Self::read(name, stored, opened(PART, bytes)?)
    }

    /// Read the JSON of a part, between its magic number and its seal. The error is a readable reason.
    pub fn read(name: StoredName, stored: Option<Timestamp>, json: &[u8]) -> Result<Self, String> {
        check_format(json)?;
        let raw: RawPart = serde_json::from_slice(json).map_err(|e| e.to_string())?;
        if ![&raw.node, &raw.user, &raw.tool]
            .into_iter()
            .all(|text| is_short(text))
        {
            return Err("it has a name that is too long or contains control characters".to_owned());
        }
        if raw.files.is_empty() {
            return Err("it has no files".to_owned());
        }
        if let Some(pair) = raw
            .files
            .windows(2)
            .find(|pair| pair[0].path.as_str() >= pair[1].path.as_str())
        {
            return Err(format!("its file `{}` is twice or out of order", pair[1].path));
        }
        let file = |file: RawFile| PartFile {
            path: file.path,
            digests: FileDigests {
                md5: file.md5,
                blake3: file.blake3,
                size: file.size,
            },
        };
        let part = Self {
            name,
            stored,
            head: PartHead {
                job: raw.job,
                folder: raw.folder,
                node: raw.node,
                user: raw.user,
                time: raw.time,
                tool: raw.tool,
            },
            files: raw.files.into_iter().map(file).collect(),
        };
        if part.head.to_json(&part.files) == json {
            Ok(part)
        } else {
            Err("it is not in the canonical form of a part".to_owned())
        }
    }

    /// Bytes of its files.
    pub fn bytes(&self) -> u64 {
        let sizes = self.files.iter().map(|file| file.digests.size);
        sizes.fold(0, u64::saturating_add)
    }
}

impl JobRelease {
    /// A release of some parts.
    pub fn new(
        job: &JobId,
        (package, version): (&str, &str),
        repo: &str,
        user: &str,
        mut parts: Vec<StoredName>,
    ) -> Self {
        parts.sort_unstable();
        parts.dedup();
        Self {
            format: FORMAT,
            job: job.clone(),
            package: short(package),
            version: short(version),
            repo: short(repo),
            user: short(user),
            parts,
        }
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        sealed(RELEASE, &serde_json::to_vec(self).unwrap_or_default())
    }

    /// Read a listed part. The error is a readable reason.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let json = opened(RELEASE, bytes)?;
        check_format(json)?;
        let release: Self = serde_json::from_slice(json).map_err(|e| e.to_string())?;
        let texts = [&release.package, &release.version, &release.repo, &release.user];
        if !texts.into_iter().all(|text| is_short(text)) || release.to_bytes() != bytes {
            return Err("it is not in the canonical form of a job's release".to_owned());
        }
        Ok(release)
    }
}

#[cfg(test)]
mod tests {
    use backlot_core::RelPath;
    use backlot_core::clock::Timestamp;

    use super::{JobId, JobRelease, Part, PartFile, PartHead, StoredName, sealed, short};
    use crate::digest_bytes;

    fn head() -> PartHead {
        PartHead {
            job: "sh010.beauty-v3_77".parse().expect("an ID"),
            folder: RelPath::parse("frames").expect("safe"),
            node: "render12".to_owned(),
            user: "ana".to_owned(),
            time: Timestamp(1_700_000_000_000),
            tool: "backlot 0.1.0".to_owned(),
        }
    }

    fn file(path: &str) -> PartFile {
        PartFile {
            path: RelPath::parse(path).expect("safe"),
            digests: digest_bytes(path.as_bytes()),
        }
    }

    fn parse(bytes: &[u8]) -> Result<Part, String> {
        Part::parse(StoredName::fresh(), Some(Timestamp(5)), bytes)
    }

    #[test]
    fn a_part_is_read_back_as_it_was_written_and_sorted() {
        let bytes = head().to_bytes(&[file("f.0002.exr"), file("f.0001.exr"), file("a/b")]);
        let part = parse(&bytes).expect("parsed");
        assert_eq!(part.head, head());
        let paths: Vec<&str> = part.files.iter().map(|f| f.path.as_str()).collect();
        assert_eq!(paths, ["a/b", "f.0001.exr", "f.0002.exr"]);
        assert_eq!(part.files[0].digests, digest_bytes(b"a/b"));
    }

    #[test]
    fn every_flipped_byte_and_every_cut_of_a_part_is_refused() {
        let bytes = head().to_bytes(&[file("f.0001.exr")]);
        for at in 0..bytes.len() {
            let mut wrong = bytes.clone();
            wrong[at] ^= 1;
            assert!(parse(&wrong).is_err(), "byte {at}");
            assert!(parse(&bytes[..at]).is_err(), "cut at {at}");
        }
        assert!(parse(&[&bytes[..], b" "].concat()).is_err());
    }

    #[test]
    fn a_sealed_part_with_hostile_content_is_refused() {
        let good = head().to_bytes(&[file("f.0001.exr"), file("f.0002.exr")]);
        let json: serde_json::Value =
            serde_json::from_slice(&good[8..good.len() - 32]).expect("JSON between magic and seal");
        let refuse = |change: &dyn Fn(&mut serde_json::Value), reason: &str| {
            let mut json = json.clone();
            change(&mut json);
            let json = serde_json::to_vec(&json).expect("JSON");
            let error = parse(&sealed(super::PART, &json)).expect_err(reason);
            assert!(error.contains(reason), "{error}");
        };
        refuse(&|j| j["format"] = 2.into(), "has format 2");
        refuse(&|j| j["more"] = 1.into(), "unknown field");
        refuse(&|j| j["files"][0]["path"] = "../x".into(), "leads outside");
        refuse(&|j| j["files"][0]["path"] = "/x".into(), "is absolute");
        refuse(
            &|j| j["files"][0]["path"] = "f.0002.exr".into(),
            "twice or out of order",
        );
        refuse(&|j| j["files"][0]["path"] = "z".into(), "twice or out of order");
        refuse(&|j| j["files"][0]["size"] = (-1).into(), "invalid value");
        refuse(&|j| j["files"] = serde_json::json!([]), "no files");
        refuse(&|j| j["folder"] = "a//b".into(), "empty component");
        refuse(&|j| j["job"] = "../x".into(), "invalid job ID");
        refuse(&|j| j["node"] = "a\u{1b}[31m".into(), "control characters");
        refuse(&|j| j["user"] = "a".repeat(300).into(), "too long");
        let upper = json["files"][0]["md5"].as_str().expect("text").to_uppercase();
        refuse(&|j| j["files"][0]["md5"] = upper.clone().into(), "");
        // The same values with other spacing.
        let spaced = serde_json::to_vec_pretty(&json).expect("JSON");
        assert!(parse(&sealed(super::PART, &spaced)).is_err());
    }

    #[test]
    fn a_part_and_a_release_of_version_1_are_read_and_written_byte_for_byte() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/format/v1");
        let job: JobId = head().job;
        let files = [file("f.0001.exr"), file("depth/d.0001.exr")];
        let name: StoredName = "0123456789abcdef0123456789abcdef".parse().expect("a name");
        let release = JobRelease::new(&job, ("shot", "0.1.0"), "review", "ana", vec![name]);
        let ours = [
            ("job.part", head().to_bytes(&files)),
            ("job.done", release.to_bytes()),
        ];
        for (name, bytes) in ours {
            let path = format!("{folder}/{name}");
            #[expect(
                clippy::disallowed_methods,
                reason = "a switch for whoever makes the fixtures"
            )]
            if std::env::var_os("BACKLOT_MAKE_FIXTURES").is_some() {
                fs_err::write(&path, &bytes).expect("written");
            }
            assert!(fs_err::read(&path).expect("the golden file") == bytes, "{name}");
        }
        let golden = fs_err::read(format!("{folder}/job.part")).expect("read");
        assert_eq!(parse(&golden).expect("parsed").files.len(), 2);
        let golden = fs_err::read(format!("{folder}/job.done")).expect("read");
        assert_eq!(JobRelease::parse(&golden), Ok(release));
    }

    #[test]
    fn names_of_nodes_fit_a_part_whatever_they_are() {
        let head = PartHead {
            node: "n\n\u{1b}".repeat(500),
            user: "\u{e4}".repeat(300),
            ..head()
        };
        let part = parse(&head.to_bytes(&[file("a")])).expect("parsed");
        assert!(part.head.node.len() <= 256 && part.head.user.starts_with('\u{e4}'));
        assert_eq!(short("plain"), "plain");
    }

    #[test]
    fn a_job_has_an_id_that_is_one_name_of_a_folder() {
        for good in ["1", "5f3e", "SH010_v003.beauty", "a-b", &"x".repeat(100)] {
            assert!(good.parse::<JobId>().is_ok(), "{good}");
        }
        for bad in [
            "",
            ".",
            "..",
            ".a",
            "-a",
            "a/b",
            "a b",
            "a\\b",
            "\u{e4}",
            &"x".repeat(101),
        ] {
            assert!(bad.parse::<JobId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn the_release_of_a_job_is_read_back_and_nothing_else_is() {
        let job: JobId = "7".parse().expect("an ID");
        let (a, b) = (StoredName::fresh(), StoredName::fresh());
        let release = JobRelease::new(&job, ("table", "1.0"), "review", "ana", vec![b, a, b]);
        assert_eq!(release.parts.len(), 2);
        assert_eq!(JobRelease::parse(&release.to_bytes()), Ok(release.clone()));
        assert!(JobRelease::parse(&head().to_bytes(&[file("a")])).is_err());
        assert!(parse(&release.to_bytes()).is_err());
    }
}
