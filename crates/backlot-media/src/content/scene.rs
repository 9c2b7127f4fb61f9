//! The metadata and external files of a scene, whatever its format.

use std::path::Path;

use serde::{Deserialize, Serialize};

/// A format of scenes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SceneFormat {
    /// USD as text, binary or package.
    Usd,
    /// glTF 2.0, as JSON or binary.
    Gltf,
    /// Alembic.
    Alembic,
}

/// A file that a scene needs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SceneReference {
    /// Where in the scene: `line 12`, `buffers[0]`, `references`.
    pub place: String,
    /// The path as it is written, but for escapes.
    pub path: String,
    /// The bytes that it has to have at least.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
}

/// The metadata and references of a scene.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SceneFacts {
    /// The format.
    pub format: SceneFormat,
    /// The files that it needs, as often as it names them.
    pub references: Vec<SceneReference>,
    /// The problems inside, one per line; at most a hundred.
    pub problems: Vec<String>,
}

/// The format that the name of a file says.
pub fn scene_format_of(path: &Path) -> Option<SceneFormat> {
    let extension = path.extension()?.to_str()?.to_ascii_lowercase();
    match extension.as_str() {
        "usd" | "usda" | "usdc" | "usdz" => Some(SceneFormat::Usd),
        "gltf" | "glb" => Some(SceneFormat::Gltf),
        "abc" => Some(SceneFormat::Alembic),
        _ => None,
    }
}
