//! USD: a layer as text or binary, or a package of layers, told by its first bytes.

use std::path::Path;

use super::bytes::Source;
use super::scene::{SceneFacts, SceneFormat, SceneReference};
use super::{damaged, usd_binary, usd_package, usd_text};
use crate::error::Trouble;

pub(super) fn read(path: &Path) -> Result<SceneFacts, Trouble> {
    let mut source = Source::open(path)?;
    let mut facts = SceneFacts {
        format: SceneFormat::Usd,
        references: Vec::new(),
        problems: Vec::new(),
    };
    let head = source.read(0, source.size.min(4))?;
    if head.starts_with(b"PK\x03\x04") {
        facts.problems = usd_package::read(&mut source)?;
    } else {
        facts.references = layer(&mut source)?;
    }
    Ok(facts)
}

/// The asset paths of a layer.
pub(super) fn layer(source: &mut Source) -> Result<Vec<SceneReference>, Trouble> {
    let head = source.read(0, source.size.min(8))?;
    if head == b"PXR-USDC" {
        return usd_binary::read(source);
    }
    if head.starts_with(b"#usda") || head.starts_with(b"#sdf ") {
        return usd_text::read(source);
    }
    Err(damaged("it does not begin as USD does"))
}
