//! Making the workspace what the pointers say.
//!
//! Invariants: content is proven before it is placed; a file that is not, byte for byte, what was placed at its path (or is in
//! no cache) is kept and reported unless `force`, so a rename, a duplicate or an edit outlives it though its content is in the
//! cache; nothing is written through a linked folder. What is removed is in the cache, so a kill in between loses nothing.
//! Unlike DVC, which removes every file it does not know and overwrites all whose content is cached.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};

use backlot_core::file::is_same_file;
use backlot_core::{Context, Md5, RelPath};
use backlot_store::{
    Cache, CheckoutItem, CheckoutOptions, FileDigests, StatCache, hash_files, set_executable,
};
use fs_err as fs;
use serde::Serialize;

use crate::content::{Content, Member, missing, prove, require};
use crate::error::{Error, Result};
use crate::ignore::Ignore;
use crate::pointer::{Out, Pointer};
use crate::portable;
use crate::record::LazyRecord;
use crate::scan::{self, HAS_MODES, Scanned, is_linked};
use crate::tracked::TrackedPointer;

/// What a checkout did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CheckoutReport {
    /// Files placed.
    pub placed: u64,
    /// Files that were right already.
    pub unchanged: u64,
    /// Files removed: the pointer no longer names them, they are as they were placed, the cache has them.
    pub removed: u64,
    /// Bytes placed.
    pub bytes: u64,
    /// How many were placed in which way.
    pub modes: BTreeMap<String, u64>,
    /// What was left alone: it is not what was placed there, or its content is nowhere else.
    pub kept: Vec<PathBuf>,
    /// What was overwritten or removed by force, though it is somebody's.
    pub lost: Vec<PathBuf>,
    /// Files that somebody removed, and that are placed again by force, with their content.
    pub returned: Vec<(PathBuf, Md5)>,
}

/// Make the outs of some pointers what the pointers say. All content must be in the cache. Warns with
/// `dvc::no_content` for an out that has none.
pub fn checkout(
    pointers: &[&TrackedPointer],
    cache: &Cache,
    stat: &StatCache,
    options: &CheckoutOptions<'_>,
    context: &Context,
) -> Result<CheckoutReport> {
    checkout_after(pointers, &BTreeMap::new(), cache, stat, options, context)
}

/// The same; files in `aside` were set aside a moment ago, and may go if they still have that content.
pub fn checkout_after(
    pointers: &[&TrackedPointer],
    aside: &BTreeMap<PathBuf, Md5>,
    cache: &Cache,
    stat: &StatCache,
    options: &CheckoutOptions<'_>,
    context: &Context,
) -> Result<CheckoutReport> {
    let placing = Placing {
        cache,
        aside,
        manifests: None,
        stat,
        options,
        planned: false,
        context,
        tells_apart: &portable::tells_apart,
    };
    checkout_by(pointers, &placing)
}

/// What a checkout would do, the same numbers and names. Content need not be in the cache; manifests that are not are looked
/// for in `manifests`.
pub fn plan_checkout(
    pointers: &[&TrackedPointer],
    cache: &Cache,
    manifests: Option<&Cache>,
    stat: &StatCache,
    options: &CheckoutOptions<'_>,
    context: &Context,
) -> Result<CheckoutReport> {
    let placing = Placing {
        cache,
        aside: &BTreeMap::new(),
        manifests,
        stat,
        options,
        planned: true,
        context,
        tells_apart: &portable::tells_apart,
    };
    checkout_by(pointers, &placing)
}

pub(crate) fn checkout_by(pointers: &[&TrackedPointer], placing: &Placing<'_>) -> Result<CheckoutReport> {
    let mut report = CheckoutReport::default();
    refuse_twin_outs(pointers, placing.tells_apart)?;
    for pointer in pointers {
        for (place, out) in pointer.located_outs().filter(|(_, out)| out.cache) {
            placing.context.check()?;
            check_folders(pointer.folder(), &place)?;
            placing.out(&place, out, &mut report)?;
        }
    }
    Ok(report)
}

/// What is the same for all outs.
pub(crate) struct Placing<'a> {
    pub(crate) cache: &'a Cache,
    /// Files that were set aside, with the content that they had.
    pub(crate) aside: &'a BTreeMap<PathBuf, Md5>,
    /// Where manifests are that the cache does not have.
    pub(crate) manifests: Option<&'a Cache>,
    pub(crate) stat: &'a StatCache,
    pub(crate) options: &'a CheckoutOptions<'a>,
    /// Whether nothing is changed.
    pub(crate) planned: bool,
    pub(crate) context: &'a Context,
    pub(crate) tells_apart: TellsApart<'a>,
}

/// Whether a folder keeps two names apart.
pub(crate) type TellsApart<'a> = &'a dyn Fn(&Path, &str, &str) -> Result<bool>;

/// An error if two outs have names that the disk takes for one.
fn refuse_twin_outs(pointers: &[&TrackedPointer], tells_apart: TellsApart<'_>) -> Result<()> {
    let outs = pointers.iter().flat_map(|pointer| pointer.located_outs());
    let mut by_folder: BTreeMap<PathBuf, Vec<RelPath>> = BTreeMap::new();
    for (place, out) in outs.filter(|(_, out)| out.cache && out.id().is_some()) {
        if let (Some(folder), Ok(name)) = (place.parent(), RelPath::parse(out.path.file_name())) {
            by_folder.entry(folder.to_path_buf()).or_default().push(name);
        }
    }
    for (folder, names) in &by_folder {
        refuse_merged(folder, names.iter(), tells_apart)?;
    }
    Ok(())
}

/// An error if two paths below a folder, or folders above them, are one on its disk.
pub fn refuse_twins(folder: &Path, paths: &[RelPath]) -> Result<()> {
    refuse_merged(folder, paths.iter(), &portable::tells_apart)
}

/// An error if two of the paths in a folder are one on its disk.
fn refuse_merged<'a>(
    folder: &Path,
    paths: impl Iterator<Item = &'a RelPath>,
    tells_apart: TellsApart<'_>,
) -> Result<()> {
    for (one, other) in portable::twins(paths) {
        if !tells_apart(folder, one.file_name(), other.file_name())? {
            return Err(Error::OneName {
                path: one.to_path(folder),
                other: other.to_path(folder),
            });
        }
    }
    Ok(())
}

impl Placing<'_> {
    fn out(&self, place: &Path, out: &Out, report: &mut CheckoutReport) -> Result<()> {
        if out.id().is_none() {
            let message = format!(
                "`{}` has a pointer without content and was skipped",
                place.display()
            );
            self.context.warn("dvc::no_content", message);
            return Ok(());
        }
        let absent = || Error::NotInCache {
            path: place.to_path_buf(),
            count: out.nfiles.unwrap_or(1),
        };
        let content = match (Content::find(out, self.cache)?, self.manifests) {
            (None, Some(manifests)) => Content::find(out, manifests)?,
            (found, _) => found,
        };
        let Some(content) = content else {
            return if out.push { Err(absent()) } else { Ok(()) };
        };
        let members = content.members(place);
        let there = Present::find(place, self.context)?;
        let record = LazyRecord::new(self.stat, place);
        let todo = self.compare(out, &members, &there, &record, report)?;
        if !out.push && !missing(&todo, self.cache)?.is_empty() {
            // Nobody promised it; the fetch said so.
            return Ok(());
        }
        if !self.planned {
            require(&todo, self.cache)?;
        }
        self.refuse_twins(place, &content)?;
        if !todo.is_empty() && !self.planned {
            let none = BTreeMap::new();
            let fetched = self.options.proven.unwrap_or(&none);
            prove(place, out, &content, fetched, self.cache)?;
        }
        self.remove_others(place, &members, &there, &record, report)?;
        let folder = matches!(content, Content::Folder(_));
        if folder && (place.is_file() || place.is_symlink()) {
            return Err(Error::InTheWay {
                path: place.to_path_buf(),
            });
        }
        check_way(place, &todo)?;
        if self.planned {
            report.placed += todo.len() as u64;
            return Ok(());
        }
        if folder {
            fs::create_dir_all(place)?;
        }
        self.place(&todo, out.isexec, report)
    }

    /// An error if two files of a folder are one on this disk.
    fn refuse_twins(&self, place: &Path, content: &Content) -> Result<()> {
        let Content::Folder(manifest) = content else {
            return Ok(());
        };
        let paths = manifest.entries().iter().map(|entry| &entry.path);
        refuse_merged(place, paths, self.tells_apart)
    }

    /// The members to be placed: those that are absent, and those with other content that may be replaced.
    fn compare(
        &self,
        out: &Out,
        members: &[Member],
        there: &Present,
        record: &LazyRecord<'_>,
        report: &mut CheckoutReport,
    ) -> Result<Vec<Member>> {
        let files: HashSet<&Path> = there.files.iter().map(PathBuf::as_path).collect();
        let present: Vec<&Member> = members
            .iter()
            .filter(|m| files.contains(m.target.as_path()))
            .collect();
        let paths: Vec<PathBuf> = present.iter().map(|m| m.target.clone()).collect();
        let digests = hash_files(&paths, self.stat, self.context)?;
        let mut todo: Vec<Member> = members
            .iter()
            .filter(|m| !files.contains(m.target.as_path()))
            .cloned()
            .collect();
        if self.options.force {
            for member in &todo {
                if record.get()?.is_placed(&member.target, member.id.md5) {
                    report.returned.push((member.target.clone(), member.id.md5));
                }
            }
        }
        for (member, digests) in present.into_iter().zip(digests) {
            let proof = out.blake3().filter(|_| out.id() == Some(member.id));
            let same = digests.md5 == member.id.md5;
            if same && proof.is_none_or(|proof| proof == digests.blake3) {
                let is_file = out.id() == Some(member.id) && HAS_MODES;
                if is_file && is_executable(&member.target)? != out.isexec {
                    if !out.isexec || !is_linked(&member.target) {
                        if !self.planned {
                            set_executable(&member.target, out.isexec)?;
                        }
                    } else if self.cache.holds(&digests)? {
                        // A link has the mode of the object, so it becomes a file of its own.
                        if !self.planned {
                            fs::remove_file(&member.target)?;
                        }
                        todo.push(member.clone());
                        continue;
                    }
                }
                report.unchanged += 1;
            } else if self.may_go(member, &digests, record)? {
                self.clear_twin(member, same)?;
                todo.push(member.clone());
            } else if self.options.force {
                report.lost.push(member.target.clone());
                self.clear_twin(member, same)?;
                todo.push(member.clone());
            } else {
                report.kept.push(member.target.clone());
            }
        }
        Ok(todo)
    }

    /// Whether a file is as it was placed, or was set aside: such a file may be replaced.
    fn is_ours(&self, path: &Path, digests: &FileDigests, record: &LazyRecord<'_>) -> Result<bool> {
        Ok(self.aside.get(path) == Some(&digests.md5) || record.get()?.is_placed(path, digests.md5))
    }

    /// Whether a member with other content may be replaced. In an installed release, where files are not edited, also one
    /// that is another name of a damaged object, which stays in quarantine.
    fn may_go(&self, member: &Member, digests: &FileDigests, record: &LazyRecord<'_>) -> Result<bool> {
        let path = &member.target;
        let is_damaged_object = || -> Result<bool> {
            let is_stored = self.cache.holds(digests)?;
            Ok(!is_stored && self.cache.keeps(path, digests, &member.id)?)
        };
        if self.is_ours(path, digests, record)? {
            return Ok(self.cache.keeps(path, digests, &member.id)?);
        }
        Ok(self.options.read_only && is_damaged_object()?)
    }

    /// Remove a file that has the MD5 of a member and other content: the store goes by the MD5, and would leave it.
    fn clear_twin(&self, member: &Member, same: bool) -> Result<()> {
        if same && !self.planned {
            fs::remove_file(&member.target)?;
        }
        Ok(())
    }

    /// Remove files the content does not name, if they are as they were placed and the cache has them (or by force).
    fn remove_others(
        &self,
        place: &Path,
        members: &[Member],
        there: &Present,
        record: &LazyRecord<'_>,
        report: &mut CheckoutReport,
    ) -> Result<()> {
        let wanted: HashSet<&Path> = members.iter().map(|m| m.target.as_path()).collect();
        let others: Vec<PathBuf> = there
            .files
            .iter()
            .filter(|p| !wanted.contains(p.as_path()))
            .cloned()
            .collect();
        let digests = hash_files(&others, self.stat, self.context)?;
        for (path, digests) in others.into_iter().zip(digests) {
            self.context.check()?;
            let may_go = self.is_ours(&path, &digests, record)? && self.cache.holds(&digests)?;
            if may_go || self.options.force {
                if !self.planned {
                    fs::remove_file(&path)?;
                    remove_empty_folders(&path, place);
                }
                report.removed += 1;
                report.lost.extend((!may_go).then_some(path));
            } else {
                report.kept.push(path);
            }
        }
        report.kept.extend(
            there
                .strange
                .iter()
                .filter(|p| !wanted.contains(p.as_path()))
                .cloned(),
        );
        Ok(())
    }

    fn place(&self, todo: &[Member], executable: bool, report: &mut CheckoutReport) -> Result<()> {
        if todo.is_empty() {
            return Ok(());
        }
        let item = |m: &Member| CheckoutItem {
            id: m.id,
            target: m.target.clone(),
            executable,
        };
        let items: Vec<CheckoutItem> = todo.iter().map(item).collect();
        let placed = backlot_store::checkout(self.cache, self.stat, &items, self.options, self.context)?;
        report.placed += placed.placed;
        report.unchanged += placed.unchanged;
        report.bytes += placed.bytes;
        for (mode, count) in placed.modes {
            *report.modes.entry(mode).or_default() += count;
        }
        Ok(())
    }
}

/// Whether the owner of a file may execute it.
fn is_executable(path: &Path) -> Result<bool> {
    Ok(scan::is_executable(&fs::metadata(path)?))
}

/// What is at a place now.
struct Present {
    /// Files, and links to files.
    files: Vec<PathBuf>,
    /// Things that cannot be tracked: links to nothing, pipes, odd names.
    strange: Vec<PathBuf>,
}

impl Present {
    fn find(place: &Path, context: &Context) -> Result<Self> {
        let ignore = Ignore::of_folder(place.parent().unwrap_or(place))?;
        let (found, strange) = scan::survey(place, &ignore, context)?;
        let files = match found {
            Scanned::Missing => Vec::new(),
            Scanned::File { .. } => vec![place.to_path_buf()],
            Scanned::Folder(files) => files.into_iter().map(|f| f.full).collect(),
        };
        Ok(Self { files, strange })
    }
}

/// No folder between the pointer and the out may be a link.
pub(crate) fn check_folders(folder: &Path, place: &Path) -> Result<()> {
    let between = place
        .ancestors()
        .skip(1)
        .take_while(|p| *p != folder && p.starts_with(folder));
    for path in between {
        check_link(path)?;
    }
    Ok(())
}

fn check_link(path: &Path) -> Result<()> {
    if path.is_symlink() {
        Err(Error::LinkedFolder {
            path: path.to_path_buf(),
        })
    } else {
        Ok(())
    }
}

/// Every folder of the members below `place` must be a folder or absent, every target a file or absent.
fn check_way(place: &Path, todo: &[Member]) -> Result<()> {
    let mut absent: HashMap<&Path, bool> = HashMap::new();
    for member in todo {
        let above = member.target.ancestors().skip(1);
        for folder in above.take_while(|folder| folder.starts_with(place)) {
            if absent.contains_key(folder) {
                break;
            }
            let found = std::fs::symlink_metadata(folder);
            match &found {
                Ok(found) if found.is_symlink() => {
                    return Err(Error::LinkedFolder {
                        path: folder.to_path_buf(),
                    });
                }
                Ok(found) if !found.is_dir() => {
                    return Err(Error::InTheWay {
                        path: folder.to_path_buf(),
                    });
                }
                _ => {}
            }
            absent.insert(folder, found.is_err());
        }
        // Nothing is in the way in a folder that is not there.
        let new = member.target.parent().and_then(|folder| absent.get(folder)) == Some(&true);
        if !new && std::fs::symlink_metadata(&member.target).is_ok_and(|found| found.is_dir()) {
            return Err(Error::InTheWay {
                path: member.target.clone(),
            });
        }
    }
    Ok(())
}

/// Remove the folders above a removed file that are empty now, `top` included.
pub fn remove_empty_folders(path: &Path, top: &Path) {
    for folder in path.ancestors().skip(1).take_while(|p| p.starts_with(top)) {
        if fs::remove_dir(folder).is_err() {
            break;
        }
    }
}

/// Remove the files of a pointer that was replaced or is gone, in its `folder`: those that still are what it said, that
/// the cache has, and that the replacement does not name. Returns those that stay because they are something else. The files are other
/// names of those in the folder `original`, under which their state is known. What both name with one content is not looked at.
pub fn remove_stale(
    (folder, original): (&Path, &Path),
    old: &Pointer,
    replacement: Option<&Pointer>,
    cache: &Cache,
    stat: &StatCache,
    context: &Context,
) -> Result<Vec<PathBuf>> {
    let mut wanted = HashMap::new();
    if let Some(new) = replacement {
        for out in &new.outs {
            let place = out.path.to_path(&new.base(folder));
            let members = Content::find(out, cache)?
                .map(|c| c.members(&place))
                .unwrap_or_default();
            wanted.extend(members.into_iter().map(|m| (m.target, m.id)));
        }
    }
    let known_as = |path: &PathBuf| {
        let inside = path.strip_prefix(folder).ok()?;
        let known = original.join(inside);
        is_same_file(&known, path).then_some(known)
    };
    let mut kept = Vec::new();
    for out in old.outs.iter().filter(|out| out.cache) {
        let place = out.path.to_path(&old.base(folder));
        check_folders(folder, &place)?;
        let Some(content) = Content::find(out, cache)? else {
            continue;
        };
        let mut old = content.members(&place);
        old.retain(|member| wanted.get(&member.target) != Some(&member.id));
        let there = present(&place, old, context)?;
        let known = |member: &Member| known_as(&member.target).unwrap_or_else(|| member.target.clone());
        let originals: Vec<PathBuf> = there.iter().map(known).collect();
        let digests = hash_files(&originals, stat, context)?;
        for (member, digests) in there.into_iter().zip(digests) {
            if digests.md5 == member.id.md5 && cache.holds(&digests)? {
                fs::remove_file(&member.target)?;
                remove_empty_folders(&member.target, &place);
            } else {
                kept.push(member.target);
            }
        }
    }
    Ok(kept)
}

/// The members of a place that are there as files. What is behind a linked folder is somebody else's.
fn present(place: &Path, members: Vec<Member>, context: &Context) -> Result<Vec<Member>> {
    let mut linked: HashMap<PathBuf, bool> = HashMap::new();
    let mut there = Vec::new();
    for member in members {
        context.check()?;
        let above = member.target.ancestors().skip(1);
        let mut above = above.take_while(|folder| folder.starts_with(place));
        let is_linked = above.any(|folder| {
            *linked
                .entry(folder.to_path_buf())
                .or_insert_with(|| folder.is_symlink())
        });
        if !is_linked && member.target.is_file() {
            there.push(member);
        }
    }
    Ok(there)
}
