//! Where the objects of a push are read: in a cache, or in files that are in no cache.

use std::collections::HashMap;
use std::path::PathBuf;

use fs_err as fs;

use crate::cache::Cache;
use crate::error::{Error, Result};
use crate::object::ObjectId;

/// Where objects are read.
#[derive(Clone, Copy)]
pub(super) enum Origin<'a> {
    Cache(&'a Cache),
    /// Files that were hashed before, and may have changed since.
    Files(&'a HashMap<ObjectId, PathBuf>),
}

impl Origin<'_> {
    pub(super) fn path_of(&self, id: &ObjectId) -> PathBuf {
        match self {
            Self::Cache(cache) => cache.object_path(id),
            Self::Files(files) => files.get(id).cloned().unwrap_or_default(),
        }
    }

    pub(super) fn sizes(&self, ids: &[ObjectId]) -> Result<Vec<u64>> {
        match self {
            Self::Cache(cache) => cache.sizes_of_all(ids),
            Self::Files(_) => {
                let size = |id| Ok(fs::metadata(self.path_of(id))?.len());
                ids.iter().map(size).collect()
            }
        }
    }

    /// An error about a name that two contents have, with the file that it is about here.
    pub(super) fn named(&self, error: Error) -> Error {
        match (self, error) {
            (Self::Files(_), Error::SameMd5 { md5, other, .. }) => Error::SameMd5 {
                what: format!("`{}`", self.path_of(&ObjectId::file(md5)).display()),
                md5,
                other,
            },
            (_, error) => error,
        }
    }

    /// The error for content in the cache that has the name, and not the proof, of what was to be sent.
    pub(super) fn is_other(&self, id: &ObjectId) -> Error {
        match self {
            Self::Cache(cache) => cache.same_md5(format!("the file `{id}`"), id),
            Self::Files(_) => Error::Changing {
                path: self.path_of(id),
            },
        }
    }

    /// The error for objects that were not what they are called when they were sent.
    pub(super) fn damaged(&self, objects: Vec<ObjectId>) -> Result<Error> {
        match self {
            Self::Cache(cache) => {
                cache.set_aside_damaged(&objects)?;
                Ok(Error::Corrupt {
                    objects,
                    place: cache.place(),
                })
            }
            Self::Files(_) => Ok(Error::Changing {
                path: objects.first().map(|id| self.path_of(id)).unwrap_or_default(),
            }),
        }
    }
}
