//! The files of a folder that is to be pushed.
//!
//! Every file counts, hidden ones too, but for our own on their way and folders of version control. A link to a file counts as the file; a
//! link to a folder is passed over with a warning, as in DVC. Invariant: what cannot be stored is an error that names it, never a silent
//! hole. Deliberately absent: ignore files, which are DVC's, and reading content.

use std::path::{Path, PathBuf};

use backlot_core::platform::is_executable;
use backlot_core::{Context, RelPath};
use fs_err as fs;

use crate::error::{Error, Result};
use crate::names::{is_reserved_name, is_temporary_name};

/// A file that was found.
#[derive(Clone, Debug)]
pub(super) struct Found {
    /// In the folder.
    pub(super) path: RelPath,
    pub(super) full: PathBuf,
    pub(super) executable: bool,
}

/// The files of a folder, sorted by path.
pub(super) fn files_of(folder: &Path, context: &Context) -> Result<Vec<Found>> {
    let mut files = Vec::new();
    let mut pending = vec![folder.to_path_buf()];
    while let Some(inside) = pending.pop() {
        context.check()?;
        for entry in fs::read_dir(&inside)? {
            let entry = entry?;
            let full = entry.path();
            let refused = |what| Error::NotStorable {
                path: full.clone(),
                what,
            };
            let name = entry.file_name();
            if name
                .to_str()
                .is_some_and(|name| is_reserved_name(name) || is_temporary_name(name))
            {
                continue;
            }
            let kind = entry.file_type()?;
            if kind.is_dir() {
                pending.push(full);
                continue;
            }
            let below = full.strip_prefix(folder).unwrap_or(&full);
            let path = RelPath::from_path(below)
                .map_err(|_| refused("named in a way that is not portable between platforms"))?;
            let found = match fs::metadata(&full) {
                Err(_) if kind.is_symlink() => return Err(refused("a link to nothing")),
                found => found?,
            };
            if found.is_dir() {
                let message = format!("`{}` is a link to a folder and was skipped", full.display());
                context.warn("dvc::skipped_link", message);
            } else if found.is_file() {
                let executable = is_executable(&found);
                files.push(Found {
                    path,
                    full,
                    executable,
                });
            } else {
                return Err(refused("a pipe, socket or device"));
            }
        }
    }
    files.sort_unstable_by(|a, b| a.path.as_str().cmp(b.path.as_str()));
    Ok(files)
}

#[cfg(all(test, unix))]
mod tests {
    use backlot_core::{Context, Diagnostic as _};
    use fs_err as fs;
    use fs_err::os::unix::fs::symlink;

    use super::files_of;

    #[test]
    fn every_file_is_found_and_what_cannot_be_stored_is_named() {
        let top = tempfile::tempdir().expect("a folder");
        let folder = top.path();
        fs::create_dir_all(folder.join("sub/.git")).expect("made");
        fs::create_dir(folder.join("empty")).expect("made");
        for (path, text) in [
            ("sub/z", "1"),
            ("sub-a", "22"),
            (".hidden", "333"),
            ("sub/.git/x", "no"),
            (".tmp-01jd0000000000000000000000", "no"),
        ] {
            fs::write(folder.join(path), text).expect("written");
        }
        symlink(folder.join("sub-a"), folder.join("link")).expect("linked");
        symlink(folder.join("sub"), folder.join("folder_link")).expect("linked");
        let context = Context::default();
        let found = files_of(folder, &context).expect("found");
        let paths: Vec<&str> = found.iter().map(|file| file.path.as_str()).collect();
        assert_eq!(paths, [".hidden", "link", "sub-a", "sub/z"]);
        assert_eq!(context.warnings(), 1);
        symlink("nowhere", folder.join("sub/broken")).expect("linked");
        let error = files_of(folder, &context).expect_err("refused");
        assert_eq!(error.code(), "store::not_storable");
        assert!(error.to_string().contains("sub/broken"), "{error}");
        assert!(files_of(&folder.join("nowhere"), &context).is_err());
    }
}
