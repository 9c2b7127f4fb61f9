//! The archive: `backlot-VERSION-TARGET.tar.gz`, with one folder of that name.

use std::io;
use std::path::{Path, PathBuf};

use flate2::{Compression, GzBuilder};

use super::Entry;

/// Write the archive of sorted entries.
pub(super) fn write(entries: &[Entry], name: &str, out: &Path) -> io::Result<PathBuf> {
    let path = out.join(format!("{name}.tar.gz"));
    let file = fs_err::File::create(&path)?;
    // Without a time and a file name in its header: the same files give the same bytes.
    let packed = GzBuilder::new().mtime(0).write(file, Compression::best());
    let mut tar = tar::Builder::new(packed);
    for entry in entries {
        let mut header = tar::Header::new_gnu();
        header.set_size(entry.bytes.len() as u64);
        header.set_mode(if entry.executable { 0o755 } else { 0o644 });
        header.set_mtime(1);
        header.set_uid(0);
        header.set_gid(0);
        tar.append_data(
            &mut header,
            format!("{name}/{}", entry.path),
            entry.bytes.as_slice(),
        )?;
    }
    tar.into_inner()?.finish()?;
    Ok(path)
}
