//! A layer of USD, as text or binary, detected by its first bytes.

use super::bytes::Source;
use super::scene::SceneReference;
use super::{damaged, usd_binary, usd_text};
use crate::error::Trouble;

/// The asset paths of a layer.
pub(super) fn read(source: &mut Source) -> Result<Vec<SceneReference>, Trouble> {
    let head = source.read(0, source.size.min(8))?;
    if head == b"PXR-USDC" {
        return usd_binary::read(source);
    }
    if head.starts_with(b"#usda") || head.starts_with(b"#sdf ") {
        return usd_text::read(source);
    }
    Err(damaged("it does not start with a USD header"))
}
