//! The present state of a project's files, as far as stages look at it.
//!
//! Invariant: a file is believed to be unchanged only as the stat cache believes it (never a state that is as young as a
//! write could be), or while nothing can run. Deliberately absent: URLs, and changing anything but the cache.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use backlot_core::{Blake3, Context, LinkMode, RelPath};
use backlot_store::{FileDigests, ObjectId, add_files, hash_files};

use super::super::{
    Content, Folder, Output, PipelineError, Place, Present, ProjectFiles as _, Value, params,
};
use super::project::{Project, file_error};
use crate::content::{proof_of, read_manifest};
use crate::error::{Error, Result};
use crate::ignore::Ignore;
use crate::manifest::{Manifest, ManifestEntry};
use crate::scan::{Scanned, ScannedFile, scan_out};

/// The content of a path, with its BLAKE3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Measured {
    pub(super) content: Content,
    pub(super) blake3: Blake3,
}

/// The files of a project.
#[derive(Debug)]
pub(super) struct World<'a> {
    pub(super) project: &'a Project<'a>,
    pub(super) context: &'a Context,
    folder: Folder,
    ignores: Mutex<HashMap<PathBuf, Ignore>>,
    /// Parsed files with their text, by which they are known again.
    parameters: Mutex<HashMap<Place, (String, Value)>>,
    /// Measurements, while nothing can run.
    frozen: Option<Mutex<HashMap<Place, Option<Measured>>>>,
}

impl<'a> World<'a> {
    pub(super) fn new(project: &'a Project<'a>, context: &'a Context) -> Self {
        Self {
            project,
            context,
            folder: Folder::new(&project.root),
            ignores: Mutex::default(),
            parameters: Mutex::default(),
            frozen: None,
        }
    }

    /// The same while nothing can run: each path is looked at once, and plain files among `places` together.
    pub(super) fn frozen<'p>(
        project: &'a Project<'a>,
        context: &'a Context,
        places: impl Iterator<Item = &'p Place>,
    ) -> Result<Self> {
        let world = Self::new(project, context);
        let (mut found, mut files) = (HashMap::new(), Vec::new());
        for place in places {
            if found.contains_key(place) {
                continue;
            }
            let Ok(path) = world.path(place) else { continue };
            match world.scan(&path)? {
                Scanned::Missing => drop(found.insert(place.clone(), None)),
                Scanned::File { executable, .. } => {
                    found.insert(place.clone(), None);
                    files.push((place.clone(), path, executable));
                }
                Scanned::Folder(members) => {
                    let measured = world.folder(&path, &members, None)?;
                    found.insert(place.clone(), Some(measured));
                }
            }
        }
        let paths: Vec<PathBuf> = files.iter().map(|(_, path, _)| path.clone()).collect();
        let digests = hash_files(&paths, project.stat, context)?;
        for ((place, _, executable), digests) in files.into_iter().zip(digests) {
            found.insert(place, Some(of_file(&digests, executable)));
        }
        Ok(Self {
            frozen: Some(Mutex::new(found)),
            ..world
        })
    }

    pub(super) fn path(&self, place: &Place) -> Result<PathBuf> {
        match place {
            Place::Root => Ok(self.project.root.clone()),
            Place::Inside(path) => Ok(path.to_path(&self.project.root)),
            Place::Outside(path) if place.is_url() => Err(PipelineError::Unreadable {
                file: path.clone(),
                reason: "a dependency that is a URL can only be imported".to_owned(),
            }
            .into()),
            Place::Outside(path) => Ok(self.project.root.join(path)),
        }
    }

    fn ignore(&self, path: &Path) -> Result<Ignore> {
        let folder = path.parent().unwrap_or(path);
        let mut known = self.ignores.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(ignore) = known.get(folder) {
            return Ok(ignore.clone());
        }
        let ignore = Ignore::of_folder(folder)?;
        known.insert(folder.to_path_buf(), ignore.clone());
        Ok(ignore)
    }

    fn scan(&self, path: &Path) -> Result<Scanned> {
        let ignore = self.ignore(path)?;
        // A link to nothing, as to an object that was collected, is as missing as for DVC.
        if path.is_symlink() && !path.try_exists().map_err(file_error)? {
            return Ok(Scanned::Missing);
        }
        match scan_out(path, &ignore, self.context) {
            // A dependency may be reached through a link.
            Err(Error::LinkedFolder { .. }) => {
                let real = fs_err::canonicalize(path).map_err(file_error)?;
                scan_out(&real, &ignore, self.context)
            }
            scanned => scanned,
        }
    }

    /// The content of a path.
    pub(super) fn measure(&self, place: &Place) -> Result<Option<Measured>> {
        if let Some(frozen) = &self.frozen {
            let known = frozen.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(known) = known.get(place) {
                return Ok(*known);
            }
        }
        let path = self.path(place)?;
        let measured = self.measure_path(&path, None)?;
        if let Some(frozen) = &self.frozen {
            let mut known = frozen.lock().unwrap_or_else(PoisonError::into_inner);
            known.insert(place.clone(), measured);
        }
        Ok(measured)
    }

    /// The content of a path; it is stored in the cache if it may be shared in the ways of `links`.
    fn measure_path(&self, path: &Path, links: Option<&[LinkMode]>) -> Result<Option<Measured>> {
        match self.scan(path)? {
            Scanned::Missing => Ok(None),
            Scanned::File { executable, .. } => {
                // A link has the mode of the object, so what can be executed stays a file of its own.
                let own = [LinkMode::Reflink, LinkMode::Copy];
                let links = links.map(|links| if executable { &own } else { links });
                let digests = self.digests(&[path.to_path_buf()], links)?;
                Ok(digests.first().map(|digests| of_file(digests, executable)))
            }
            Scanned::Folder(files) => self.folder(path, &files, links).map(Some),
        }
    }

    fn digests(&self, paths: &[PathBuf], links: Option<&[LinkMode]>) -> Result<Vec<FileDigests>> {
        let project = self.project;
        match links {
            None => Ok(hash_files(paths, project.stat, self.context)?),
            Some(links) => {
                let added = add_files(project.cache, project.stat, paths, links, self.context)?;
                Ok(added.into_iter().map(|added| added.digests).collect())
            }
        }
    }

    fn folder(&self, path: &Path, files: &[ScannedFile], links: Option<&[LinkMode]>) -> Result<Measured> {
        let paths: Vec<PathBuf> = files.iter().map(|file| file.full.clone()).collect();
        let digests = self.digests(&paths, links)?;
        let entries = files.iter().zip(&digests).map(|(file, digests)| ManifestEntry {
            md5: digests.md5,
            path: file.path.clone(),
        });
        let manifest = Manifest::new(&path.display().to_string(), entries.collect())?;
        if links.is_some() {
            self.project.cache.insert_bytes(&manifest.to_bytes(), true)?;
        }
        let content = Content {
            id: manifest.id(),
            size: digests.iter().map(|digests| digests.size).sum(),
            nfiles: Some(digests.len() as u64),
            isexec: false,
        };
        Ok(Measured {
            content,
            blake3: proof_of(files.iter().map(|file| &file.path), &digests),
        })
    }

    /// The content of an output after its command; `commit` stores it in the cache.
    pub(super) fn take_out(&self, out: &Output, commit: bool) -> Result<Option<Measured>> {
        let links = commit.then_some(self.project.links.as_slice());
        self.measure_path(&out.place.to_path(&self.project.root), links)
    }

    /// Whether content, of a folder with all its files, is in the cache.
    pub(super) fn has(&self, id: ObjectId) -> Result<bool> {
        let cache = self.project.cache;
        if !id.tree {
            return Ok(cache.has(&id)?);
        }
        Ok(match self.members(id)? {
            None => false,
            Some(members) => {
                let ids: Vec<ObjectId> = members.iter().map(|(_, id)| *id).collect();
                cache.sizes(&ids)?.iter().all(Option::is_some)
            }
        })
    }

    /// The files of a folder whose manifest is in the cache; `None` for a file.
    pub(super) fn members(&self, id: ObjectId) -> Result<Option<Vec<(RelPath, ObjectId)>>> {
        if !id.tree || !self.project.cache.has(&id)? {
            return Ok(None);
        }
        let manifest = read_manifest(self.project.cache, &id)?;
        let entries = manifest.entries().iter();
        Ok(Some(
            entries
                .map(|entry| (entry.path.clone(), ObjectId::file(entry.md5)))
                .collect(),
        ))
    }
}

impl World<'_> {
    /// The content of a path if restored from the cache; `None` if the cache does not have all of it.
    pub(super) fn in_cache(&self, content: Content) -> Result<Option<Measured>> {
        let cache = self.project.cache;
        if !content.id.tree {
            let digests = cache.proven(&[content.id])?.into_iter().next().flatten();
            return Ok(digests.map(|digests| {
                let size = digests.size;
                Measured {
                    content: Content { size, ..content },
                    blake3: digests.blake3,
                }
            }));
        }
        let Some(members) = self.members(content.id)? else {
            return Ok(None);
        };
        let ids: Vec<ObjectId> = members.iter().map(|(_, id)| *id).collect();
        let digests: Option<Vec<FileDigests>> = cache.proven(&ids)?.into_iter().collect();
        Ok(digests.map(|digests| Measured {
            content,
            blake3: proof_of(members.iter().map(|(path, _)| path), &digests),
        }))
    }
}

fn of_file(digests: &FileDigests, executable: bool) -> Measured {
    Measured {
        content: Content {
            id: ObjectId::file(digests.md5),
            size: digests.size,
            nfiles: None,
            isexec: executable,
        },
        blake3: digests.blake3,
    }
}

impl Present for World<'_> {
    type Error = Error;

    fn content(&self, place: &Place) -> Result<Option<Content>> {
        Ok(self.measure(place)?.map(|measured| measured.content))
    }

    fn is_cached(&self, id: ObjectId) -> Result<bool> {
        self.has(id)
    }

    fn parameters(&self, place: &Place) -> Result<Option<Value>> {
        let Some(text) = self.folder.read(place)? else {
            return Ok(None);
        };
        let mut known = self.parameters.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, value)) = known.get(place).filter(|(before, _)| *before == text) {
            return Ok(Some(value.clone()));
        }
        let value = params::read(&place.to_string(), &text)?;
        known.insert(place.clone(), (text, value.clone()));
        Ok(Some(value))
    }
}

/// The same state, but for some paths whose content is known to be, or assumed to become, another one.
#[derive(Debug)]
pub(super) struct Overlay<'a> {
    pub(super) world: &'a World<'a>,
    pub(super) known: HashMap<Place, Option<Measured>>,
}

impl<'a> Overlay<'a> {
    pub(super) fn new(world: &'a World<'a>) -> Self {
        Self {
            world,
            known: HashMap::new(),
        }
    }

    /// The content of a path.
    pub(super) fn measure(&self, place: &Place) -> Result<Option<Measured>> {
        match self.known.get(place) {
            Some(measured) => Ok(*measured),
            None => self.world.measure(place),
        }
    }
}

impl Present for Overlay<'_> {
    type Error = Error;

    fn content(&self, place: &Place) -> Result<Option<Content>> {
        Ok(self.measure(place)?.map(|measured| measured.content))
    }

    fn is_cached(&self, id: ObjectId) -> Result<bool> {
        self.world.is_cached(id)
    }

    fn parameters(&self, place: &Place) -> Result<Option<Value>> {
        self.world.parameters(place)
    }
}
