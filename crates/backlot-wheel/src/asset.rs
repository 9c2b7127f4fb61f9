//! Asset metadata of a package: the original engine's `asset.toml`, keywords and entry-point groups.
//!
//! Both engines recognise an asset by the entry-point group [`INFO_GROUP`], which is also the source of truth for name
//! and type; tags are in the keywords. Unknown keys of `asset.toml` are ignored on reading, as the original does.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::entry_points::EntryPoints;
use crate::error::{Error, Result};
use crate::metadata::Metadata;

/// The entry-point group that says a package is an asset.
pub const INFO_GROUP: &str = "tgzr.pipeline.asset_info_trick";
const TAG_KEYWORD: &str = "tgzr.pipeline.asset_tag:";

/// The asset metadata of a release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AssetInfo {
    /// The free-text name.
    pub name: String,
    /// The type.
    pub asset_type: String,
    /// The tags, sorted.
    pub tags: Vec<String>,
}

impl AssetInfo {
    /// From a release's metadata and entry points; `None` if it is not an asset.
    pub fn from_metadata(metadata: &Metadata, entry_points: &EntryPoints) -> Option<Self> {
        let info = entry_points.group(INFO_GROUP)?;
        let mut tags: Vec<String> = metadata
            .keywords
            .iter()
            .filter_map(|k| k.strip_prefix(TAG_KEYWORD))
            .map(ToOwned::to_owned)
            .collect();
        tags.sort();
        tags.dedup();
        Some(Self {
            name: info.get("asset_name").unwrap_or(&metadata.name).clone(),
            asset_type: info
                .get("asset_type")
                .cloned()
                .unwrap_or_else(|| "basic".to_owned()),
            tags,
        })
    }
}

/// A repo as `asset.toml` names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AssetRepo {
    /// Its name.
    pub name: String,
    /// Its folder.
    pub path: String,
}

/// The content of `asset.toml`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AssetToml {
    /// The free-text name.
    pub asset_name: String,
    /// The type.
    pub asset_type: String,
    /// The tags.
    pub tags: Vec<String>,
    /// The entity, where the studio has such.
    pub entity: Option<String>,
    /// Requirements, original case kept.
    pub inputs: Vec<String>,
    /// The repo that publishes go to.
    pub publish_to: Option<String>,
    /// The repos of the workspace it was made in.
    pub repos: Vec<AssetRepo>,
    /// Our own table, `[backlot]`.
    pub backlot: toml::Table,
}

#[derive(Deserialize)]
struct Schema {
    #[serde(default)]
    asset_name: Option<String>,
    #[serde(default)]
    asset_type: Option<String>,
    #[serde(default)]
    tags: Vec<String>,
    entity: Option<String>,
    #[serde(default)]
    package: PackageTable,
    #[serde(default)]
    backlot: toml::Table,
}

#[derive(Default, Deserialize)]
struct PackageTable {
    #[serde(default)]
    inputs: Vec<String>,
    #[serde(default)]
    publish: PublishTable,
}

#[derive(Default, Deserialize)]
struct PublishTable {
    publish_to: Option<String>,
    #[serde(default)]
    repos: Vec<AssetRepo>,
}

impl AssetToml {
    /// Read the file.
    pub fn load(path: &Path) -> Result<Self> {
        let text = backlot_core::file::read_text(path)?;
        Self::parse(&text).map_err(|reason| Error::BadProject {
            path: path.to_path_buf(),
            reason,
        })
    }

    /// Read the text; the error is a sentence about it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let schema: Schema = toml::from_str(text).map_err(|e| e.to_string().trim().to_owned())?;
        Ok(Self {
            asset_name: schema.asset_name.unwrap_or_default(),
            asset_type: schema.asset_type.unwrap_or_else(|| "basic".to_owned()),
            tags: schema.tags,
            entity: schema.entity,
            inputs: schema.package.inputs,
            publish_to: schema.package.publish.publish_to,
            repos: schema.package.publish.repos,
            backlot: schema.backlot,
        })
    }

    /// The text, in the order the original engine writes it.
    pub fn to_text(&self) -> String {
        let quote = |text: &str| toml::Value::String(text.to_owned()).to_string();
        let list = |items: &[String]| {
            items
                .iter()
                .map(|i| format!(" {},", quote(i)))
                .collect::<String>()
        };
        let array = |items: &[String]| {
            if items.is_empty() {
                "[]".to_owned()
            } else {
                format!("[{}]", list(items))
            }
        };
        let mut text = format!(
            "asset_name = {}\nasset_type = {}\n",
            quote(&self.asset_name),
            quote(&self.asset_type)
        );
        text.push_str(&format!("tags = {}\n", array(&self.tags)));
        if let Some(entity) = &self.entity {
            text.push_str(&format!("entity = {}\n", quote(entity)));
        }
        text.push_str(&format!(
            "\n[package]\ninputs = {}\n\n[graph]\npositions = []\n\n[package.publish]\n",
            array(&self.inputs)
        ));
        if let Some(publish_to) = &self.publish_to {
            text.push_str(&format!("publish_to = {}\n", quote(publish_to)));
        }
        if self.repos.is_empty() {
            text.push_str("repos = []\n");
        }
        for repo in &self.repos {
            text.push_str(&format!(
                "[[package.publish.repos]]\nname = {}\npath = {}\n\n",
                quote(&repo.name),
                quote(&repo.path)
            ));
        }
        if !self.backlot.is_empty() {
            let mut table = toml::Table::new();
            table.insert("backlot".to_owned(), toml::Value::Table(self.backlot.clone()));
            text.push_str(&table.to_string());
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::{AssetInfo, AssetToml};
    use crate::entry_points::EntryPoints;
    use crate::metadata::Metadata;

    #[test]
    fn every_asset_toml_of_the_original_engine_reads_and_round_trips() {
        for text in [
            include_str!("../../../fixtures/tgzr/main_pack/asset.toml"),
            include_str!("../../../fixtures/tgzr/table/asset.toml"),
            include_str!("../../../fixtures/tgzr/my_env/asset.toml"),
            include_str!("../../../fixtures/tgzr/mybuilder/asset.toml"),
            include_str!("../../../fixtures/tgzr/anim_scene/asset.toml"),
            include_str!("../../../fixtures/tgzr/shot_creator/asset.toml"),
        ] {
            let asset = AssetToml::parse(text).expect("valid");
            assert!(!asset.asset_name.is_empty() && asset.repos.len() == 2);
            assert_eq!(AssetToml::parse(&asset.to_text()).expect("valid"), asset);
        }
        let main_pack =
            AssetToml::parse(include_str!("../../../fixtures/tgzr/main_pack/asset.toml")).expect("valid");
        assert_eq!(main_pack.inputs, ["Table<1.0,>=0.2"]);
    }

    #[test]
    fn a_release_of_the_original_engine_is_recognised_with_its_tags() {
        let metadata =
            Metadata::parse(include_str!("../../../fixtures/tgzr/main_pack/wheel.METADATA")).expect("valid");
        let points = EntryPoints::parse(include_str!(
            "../../../fixtures/tgzr/main_pack/wheel.entry_points.txt"
        ));
        let info = AssetInfo::from_metadata(&metadata, &points).expect("an asset");
        assert_eq!(
            (info.name.as_str(), info.asset_type.as_str()),
            ("Main-Pack", "Casting")
        );
        assert_eq!(info.tags, ["hero", "pack"]);
        assert_eq!(AssetInfo::from_metadata(&metadata, &EntryPoints::default()), None);
    }
}
