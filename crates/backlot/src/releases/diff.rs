//! The differences between two releases of an asset, or between one and the output in the workspace: tracked files by name, files of the package,
//! requirements, metadata.
//!
//! Invariants: nothing is changed; of tracked folders only manifests are fetched, and only of those that differ. What was changed here and is not
//! added yet counts; what was never pulled is as it was. Deliberately absent: differences inside a file.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use backlot_core::Md5;
use backlot_core::file::TemporaryFolder;
use backlot_dvc::{Change, Manifest, ManifestEntry, Out, TrackedPointer};
use backlot_pep::{PackageName, Version};
use backlot_store::{Cache, ObjectId};
use backlot_wheel::AssetInfo;
use serde::{Deserialize, Serialize};

use crate::error::{Result, WorkspaceError};
use crate::files::tracked::Tracked;
use crate::project::base::{KnownReleases, Newer};
use crate::project::content::{Content, wheel_path};
use crate::project::output::Output;
use crate::workspace::Opened;

/// One of two things that are compared.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct DiffEnd {
    /// The version.
    pub version: Version,
    /// The repo of the release; `None` for the output in the workspace.
    pub repo: Option<String>,
}

/// The difference.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct DiffReport {
    /// The asset.
    pub asset: String,
    /// From what.
    pub from: DiffEnd,
    /// To what.
    pub to: DiffEnd,
    /// Tracked files and folders that differ, by path in the package.
    pub files: Vec<OutDiff>,
    /// Files of the package itself that differ.
    pub package: NameDiff,
    /// Requirements that differ.
    pub requirements: Vec<TextDiff>,
    /// Metadata that differ, by field.
    pub metadata: Vec<TextDiff>,
}

/// Files that differ, by name.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct NameDiff {
    /// Those that are new.
    pub new: Vec<String>,
    /// Those with other content.
    pub changed: Vec<String>,
    /// Removed files.
    pub gone: Vec<String>,
}

/// A tracked file or folder that differs.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct OutDiff {
    /// Its path in the package.
    pub path: String,
    /// Its files by their paths in it; of a single file, its name.
    #[serde(flatten)]
    pub names: NameDiff,
    /// Its bytes before, if it was there.
    pub bytes_from: Option<u64>,
    /// Its bytes after, if it is there and all of that is known.
    pub bytes_to: Option<u64>,
}

/// A text that differs.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TextDiff {
    /// The package that is required, or the field.
    pub name: String,
    /// The old value.
    pub from: Option<String>,
    /// The new value.
    pub to: Option<String>,
}

/// One side of a comparison.
struct Side {
    end: DiffEnd,
    output: Output,
    /// Files of the package, without pointers.
    content: Content,
    /// Tracked files and folders, by path in the package.
    outs: BTreeMap<String, SideOut>,
}

/// A tracked file or folder of a side.
struct SideOut {
    out: Out,
    /// Its files as they are here, where they are not what the pointer says.
    here: Option<(BTreeMap<String, Md5>, Option<u64>)>,
}

impl Opened {
    pub(crate) fn diff(&self, from: &str, to: Option<&str>, repo: Option<&str>) -> Result<DiffReport> {
        let held = self.hold()?;
        let (name, version) = held.named_end(from)?;
        let known = held.known_in(&name, repo)?;
        let (from, to) = match (version, to) {
            (Some(version), None) => (
                held.released_side(&known, &name, &version)?,
                held.workspace_side(&held.output(name.as_str())?)?,
            ),
            (None, None) => {
                let output = held.output(name.as_str())?;
                let version = held.base_or_newest(&output, &known)?;
                (
                    held.released_side(&known, &name, &version)?,
                    held.workspace_side(&output)?,
                )
            }
            (version, Some(to)) => {
                let (other, to) = held.named_end(to)?;
                let other_known = held.known_in(&other, repo)?;
                let side =
                    |version: Option<Version>, name: &PackageName, known: &[KnownReleases]| match version {
                        Some(version) => held.released_side(known, name, &version),
                        None => held.workspace_side(&held.output(name.as_str())?),
                    };
                (side(version, &name, &known)?, side(to, &other, &other_known)?)
            }
        };
        held.compare_sides(&from, &to)
    }

    /// The version that an output was edited from, or the newest.
    pub(crate) fn base_or_newest(&self, output: &Output, known: &[KnownReleases]) -> Result<Version> {
        let base = self.base_of(output, known)?.map(|base| base.version);
        let newest = || {
            let offered = known.iter().flat_map(|one| one.listing.offered());
            offered.map(|release| release.version.clone()).max()
        };
        let version = base.or_else(newest);
        version.ok_or_else(|| {
            let error = WorkspaceError::NoSuchRelease {
                what: format!("a release of {}", output.name),
                nearest: None,
            };
            error.into()
        })
    }

    /// The package and, if one is given, the version of a text such as `Table` or `Table==1.0.0`.
    pub(crate) fn named_end(&self, text: &str) -> Result<(PackageName, Option<Version>)> {
        if !text.contains(['<', '>', '=', '~', '!']) {
            return Ok((PackageName::of_asset(text)?, None));
        }
        let (name, version) = self.parse_release(text)?;
        Ok((name, Some(version)))
    }

    pub(crate) fn known_in(&self, name: &PackageName, repo: Option<&str>) -> Result<Vec<KnownReleases>> {
        let mut known = self.known_releases(name, &mut BTreeSet::new());
        if let Some(repo) = repo {
            self.repo_entry(repo)?;
            known.retain(|one| one.repo == repo);
        }
        Ok(known)
    }

    /// A release among those of some repos.
    pub(crate) fn find_release<'k>(
        known: &'k [KnownReleases],
        name: &PackageName,
        version: &Version,
    ) -> Result<Newer<'k>> {
        let find = |one: &'k KnownReleases| -> Option<Newer<'k>> {
            let mut files = one.listing.files().filter(|file| !file.is_sdist());
            let release = files.find(|file| file.version == *version)?.clone();
            Some(Newer { known: one, release })
        };
        known.iter().find_map(find).ok_or_else(|| {
            let what = format!("{name} {version}");
            let files = known.iter().flat_map(|one| one.listing.files());
            let versions: Vec<String> = files.map(|file| format!("{name} {}", file.version)).collect();
            let versions = versions.iter().map(String::as_str);
            WorkspaceError::no_such_release(what.clone(), &what, versions).into()
        })
    }

    fn released_side(&self, known: &[KnownReleases], name: &PackageName, version: &Version) -> Result<Side> {
        let found = Self::find_release(known, name, version)?;
        let stage = TemporaryFolder::absent_in(&self.state_dir());
        let (output, tracked, base) = self.unpack_newer(&found, stage.path())?;
        self.bring_manifests(&tracked, self.remote_elsewhere(None).as_ref())?;
        Ok(Side {
            end: DiffEnd {
                version: version.clone(),
                repo: Some(found.known.repo.clone()),
            },
            content: base.content,
            outs: outs_of(&output, &tracked)?,
            output,
        })
    }

    fn workspace_side(&self, output: &Output) -> Result<Side> {
        let tracked = self.tracked_of_output(output)?;
        self.bring_manifests(&tracked, self.remote_elsewhere(None).as_ref())?;
        let mut outs = outs_of(output, &tracked)?;
        for state in self.out_states(&tracked)? {
            let path = wheel_path(output, &state.path)?.map(|path| path.to_string());
            let Some(out) = path.and_then(|path| outs.get_mut(&path)) else {
                continue;
            };
            match state.change {
                Change::Modified { .. } | Change::NoContent => {
                    out.here = Some(self.members_here(&state.path, &out.out)?);
                }
                Change::Missing => out.here = Some((BTreeMap::new(), None)),
                _ => {}
            }
        }
        Ok(Side {
            end: DiffEnd {
                version: output.project.metadata.version.clone(),
                repo: None,
            },
            content: self.content_of(output, &tracked)?,
            outs,
            output: output.clone(),
        })
    }

    /// The files of a tracked path as they are here, with those that were never pulled, and their bytes if all are here.
    fn members_here(&self, place: &Path, out: &Out) -> Result<(BTreeMap<String, Md5>, Option<u64>)> {
        let (cache, stat) = (self.cache()?, self.stat_cache()?);
        let here = self.contents_here(place, &stat)?;
        let bytes = here.values().map(|(_, digests)| digests.size).sum();
        if here.contains_key("") {
            let members = here.into_iter().map(|(name, (_, digests))| (name, digests.md5));
            return Ok((members.collect(), Some(bytes)));
        }
        let base = match out.id().filter(|id| id.tree) {
            Some(id) => backlot_dvc::read_manifest(&cache, &id)?,
            None => Manifest::default(),
        };
        let placed = stat.placed(place)?;
        let mut present = Vec::new();
        for (name, (_, digests)) in &here {
            present.push(ManifestEntry {
                md5: digests.md5,
                path: backlot_core::RelPath::parse(name)?,
            });
        }
        let is_removed = |entry: &ManifestEntry| placed.get(entry.path.as_str()) == Some(&entry.md5);
        let merged = backlot_dvc::merge(&place.display().to_string(), &base, present, &is_removed)?;
        let entries = merged.manifest.entries().iter();
        let members = entries.map(|entry| (entry.path.to_string(), entry.md5)).collect();
        Ok((members, merged.kept.is_empty().then_some(bytes)))
    }

    fn compare_sides(&self, from: &Side, to: &Side) -> Result<DiffReport> {
        let cache = self.cache()?;
        let mut files = Vec::new();
        let paths: BTreeSet<&String> = from.outs.keys().chain(to.outs.keys()).collect();
        for path in paths {
            let (before, after) = (from.outs.get(path), to.outs.get(path));
            let is_same =
                |a: &SideOut, b: &SideOut| a.out.id() == b.out.id() && a.here.is_none() && b.here.is_none();
            if before.zip(after).is_some_and(|(a, b)| is_same(a, b)) {
                continue;
            }
            let own_name = path.rsplit('/').next().unwrap_or(path);
            let names = NameDiff::of(&members(before, &cache)?, &members(after, &cache)?, own_name);
            if names.is_empty() {
                continue;
            }
            let bytes = |side: Option<&SideOut>| side.and_then(SideOut::bytes);
            files.push(OutDiff {
                path: path.clone(),
                names,
                bytes_from: bytes(before),
                bytes_to: bytes(after),
            });
        }
        let plain = |content: &Content| -> BTreeMap<String, String> {
            let files = content.iter().filter(|(path, _)| !path.ends_with(".dvc"));
            files
                .map(|(path, digest)| (path.clone(), digest.clone()))
                .collect()
        };
        Ok(DiffReport {
            asset: to.output.name.clone(),
            from: from.end.clone(),
            to: to.end.clone(),
            files,
            package: NameDiff::of(&plain(&from.content), &plain(&to.content), ""),
            requirements: text_diffs(&requirements(&from.output), &requirements(&to.output)),
            metadata: text_diffs(&fields(&from.output), &fields(&to.output)),
        })
    }
}

impl SideOut {
    fn bytes(&self) -> Option<u64> {
        match &self.here {
            Some((_, bytes)) => *bytes,
            None => self.out.size,
        }
    }
}

impl NameDiff {
    /// What differs between names with contents. An empty name is told as `own`.
    fn of<T: PartialEq>(from: &BTreeMap<String, T>, to: &BTreeMap<String, T>, own: &str) -> Self {
        let told = |name: &String| {
            if name.is_empty() {
                own.to_owned()
            } else {
                name.clone()
            }
        };
        let (mut new, mut changed) = (Vec::new(), Vec::new());
        for (name, content) in to {
            match from.get(name) {
                None => new.push(told(name)),
                Some(before) if before != content => changed.push(told(name)),
                Some(_) => {}
            }
        }
        let gone = from
            .keys()
            .filter(|name| !to.contains_key(*name))
            .map(told)
            .collect();
        Self { new, changed, gone }
    }

    /// Whether nothing differs.
    pub fn is_empty(&self) -> bool {
        self.new.is_empty() && self.changed.is_empty() && self.gone.is_empty()
    }
}

fn outs_of(output: &Output, tracked: &Tracked) -> Result<BTreeMap<String, SideOut>> {
    let mut outs = BTreeMap::new();
    for (place, out) in tracked.pointers.iter().flat_map(TrackedPointer::located_outs) {
        if let Some(path) = wheel_path(output, &place)?.filter(|_| out.cache) {
            let out = out.clone();
            outs.insert(path.to_string(), SideOut { out, here: None });
        }
    }
    Ok(outs)
}

/// The files of one side of a tracked path; a single file has an empty name.
fn members(side: Option<&SideOut>, cache: &Cache) -> Result<BTreeMap<String, Md5>> {
    let Some(side) = side else {
        return Ok(BTreeMap::new());
    };
    if let Some((members, _)) = &side.here {
        return Ok(members.clone());
    }
    let Some(id) = side.out.id() else {
        return Ok(BTreeMap::new());
    };
    if !id.tree {
        return Ok(BTreeMap::from([(String::new(), ObjectId::file(id.md5).md5)]));
    }
    let manifest = backlot_dvc::read_manifest(cache, &id)?;
    let entries = manifest.entries().iter();
    Ok(entries.map(|entry| (entry.path.to_string(), entry.md5)).collect())
}

/// The requirements of an output, by package; several requirements of one package are one text.
fn requirements(output: &Output) -> BTreeMap<String, String> {
    let mut all: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for requirement in &output.project.metadata.requires_dist {
        let texts = all.entry(requirement.name().to_string()).or_default();
        // A secret in a URL must not be shown.
        texts.push(match requirement.url() {
            Some(_) => requirement.told().into_owned(),
            None => requirement.text().to_owned(),
        });
    }
    let joined = all.into_iter().map(|(name, mut texts)| {
        texts.sort();
        (name, texts.join("; "))
    });
    joined.collect()
}

/// The metadata of an output.
fn fields(output: &Output) -> BTreeMap<String, String> {
    let metadata = &output.project.metadata;
    let asset = AssetInfo::from_metadata(metadata, &output.project.entry_points);
    let mut people: Vec<String> = metadata.people.iter().map(|(_, name)| name.clone()).collect();
    people.dedup();
    let python = metadata.requires_python.as_ref().map(ToString::to_string);
    let all = [
        ("summary", metadata.summary.clone()),
        ("type", asset.as_ref().map(|asset| asset.asset_type.clone())),
        ("tags", asset.as_ref().map(|asset| asset.tags.join(", "))),
        ("classifiers", Some(metadata.classifiers.join(", "))),
        ("requires-python", python),
        ("license", metadata.license.clone()),
        ("people", Some(people.join(", "))),
        ("urls", Some(metadata.project_urls.join(", "))),
    ];
    let told = all
        .into_iter()
        .filter_map(|(name, text)| Some((name.to_owned(), text?)));
    told.filter(|(_, text)| !text.is_empty()).collect()
}

fn text_diffs(from: &BTreeMap<String, String>, to: &BTreeMap<String, String>) -> Vec<TextDiff> {
    let names: BTreeSet<&String> = from.keys().chain(to.keys()).collect();
    let differing = names.into_iter().filter(|name| from.get(*name) != to.get(*name));
    let diff = |name: &String| TextDiff {
        name: name.clone(),
        from: from.get(name).cloned(),
        to: to.get(name).cloned(),
    };
    differing.map(diff).collect()
}
