//! USD: a layer as text or binary, or a package of layers, detected by its first bytes.

use std::path::Path;

use super::bytes::Source;
use super::scene::{SceneFacts, SceneFormat};
use super::{usd_layer, usd_package};
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
        facts.references = usd_layer::read(&mut source)?;
    }
    Ok(facts)
}
