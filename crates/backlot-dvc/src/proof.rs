//! The BLAKE3 of a tracked folder: one digest over all its files.
//!
//! Format: BLAKE3 of the UTF-8 text of one line a file, `<64 lower-case hex digits of the file's BLAKE3> <path>\n`, in the
//! order of the manifest (by whole path, by code point; an empty folder is the empty text). A line break in a path is
//! written as `\n`; that is unambiguous, because a path with a backslash is refused everywhere.
//! It lies in the pointer's `meta: {backlot: {blake3: ..., md5: ...}}`, which DVC keeps, with the MD5 of what it proves; for a
//! single file the same place holds the BLAKE3 of the file itself. Deliberately absent: a proof per member, for which DVC has
//! no place.

use backlot_core::{Blake3, RelPath};
use backlot_store::{FileDigests, ObjectId, digest_bytes};

use crate::manifest::Manifest;

/// Whether content matches a BLAKE3: of the file `id`, or of the folder `id` with this manifest, whose files have the
/// digests that `digests` gives. `None` where it does not give all. Publishing, pulling and verifying all go by this.
pub fn judge(
    id: ObjectId,
    proof: Blake3,
    manifest: Option<&Manifest>,
    digests: &dyn Fn(&ObjectId) -> Option<FileDigests>,
) -> Option<bool> {
    let Some(manifest) = manifest else {
        let found = digests(&id).filter(|_| !id.tree)?;
        return Some(found.md5 == id.md5 && found.blake3 == proof);
    };
    let mut files = Vec::with_capacity(manifest.entries().len());
    for entry in manifest.entries() {
        let found = digests(&ObjectId::file(entry.md5))?;
        if found.md5 != entry.md5 {
            return Some(false);
        }
        files.push((&entry.path, found.blake3));
    }
    Some(tree_proof(files) == proof)
}

/// The BLAKE3 over files in the order of their manifest.
pub fn tree_proof<'a>(files: impl IntoIterator<Item = (&'a RelPath, Blake3)>) -> Blake3 {
    let mut text = String::new();
    for (path, digest) in files {
        text.push_str(&digest.to_hex());
        text.push(' ');
        text.push_str(&path.as_str().replace('\n', "\\n"));
        text.push('\n');
    }
    digest_bytes(text.as_bytes()).blake3
}

#[cfg(test)]
mod tests {
    use backlot_core::{Blake3, RelPath};

    use super::tree_proof;
    use backlot_store::digest_bytes;

    #[test]
    fn the_proof_of_a_known_list_is_what_b3sum_says() {
        // printf '' | b3sum
        let empty = "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262";
        assert_eq!(tree_proof(std::iter::empty()).to_hex(), empty);
        let digest: Blake3 = empty.parse().expect("blake3");
        let (a, b) = (
            RelPath::parse("a").expect("safe"),
            RelPath::parse("b/c").expect("safe"),
        );
        let text = format!("{empty} a\n{empty} b/c\n");
        assert_eq!(
            tree_proof([(&a, digest), (&b, digest)]),
            digest_bytes(text.as_bytes()).blake3
        );
        assert_ne!(tree_proof([(&a, digest)]), tree_proof([(&b, digest)]));
        let forged = RelPath::parse(&format!("a\n{empty} b/c")).expect("safe");
        assert_ne!(
            tree_proof([(&forged, digest)]),
            tree_proof([(&a, digest), (&b, digest)])
        );
    }
}
