//! Which inputs have to have their tracked files here, and which are pulled only when they are asked for.
//!
//! `[localize]` in `backlot.toml` names assets with `"always"`, which all are that are not named, or `"on-demand"`: a pull without names leaves
//! those alone. Deliberately absent: outputs, whose files are always needed.

use backlot_pep::PackageName;
use serde::{Deserialize, Serialize};
use toml_edit::value;

use crate::error::Result;
use crate::files::tracked::Tracked;
use crate::project::named_output::same_name;
use crate::workspace::Opened;
use crate::workspace::config::{Config, Localize};

/// An asset, and when its files are pulled.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LocalizedAsset {
    /// Its name.
    pub asset: String,
    /// When its tracked files are pulled.
    pub localize: Localize,
    /// Whether it is installed, with tracked files.
    pub installed: bool,
}

impl Config {
    /// Choose when the files of an input are pulled.
    fn set_localize(&mut self, name: &PackageName, localize: Localize) {
        let table = self.section("localize");
        // Under whatever spelling it was written before.
        let written: Vec<String> = table.iter().map(|(key, _)| key.to_owned()).collect();
        for key in written {
            if PackageName::of_asset(&key).is_ok_and(|known| known == *name) {
                table.remove(&key);
            }
        }
        table.set_implicit(false);
        table.insert(name.as_str(), value(localize.as_str()));
        self.localize.insert(name.clone(), localize);
    }
}

impl Opened {
    pub(crate) fn localize(
        &mut self,
        asset: &str,
        localize: Localize,
        dry_run: bool,
    ) -> Result<Vec<LocalizedAsset>> {
        let name = PackageName::of_asset(asset)?;
        self.change(dry_run, |workspace: &mut Self| {
            workspace.config.set_localize(&name, localize);
            let listed = workspace.localized()?;
            if !dry_run {
                workspace.config.save()?;
            }
            Ok(listed)
        })
    }

    pub(crate) fn localized(&self) -> Result<Vec<LocalizedAsset>> {
        let mut all = Vec::new();
        for (asset, tracked) in self.tracked_inputs(&|_| true)? {
            if tracked.is_ok_and(|one| !one.pointers.is_empty()) {
                all.push(LocalizedAsset {
                    localize: self.localize_of(&asset),
                    asset,
                    installed: true,
                });
            }
        }
        let chosen = self.config().localize.iter();
        let others = chosen.filter(|(name, _)| !all.iter().any(|one| same_name(&one.asset, name.as_str())));
        let others: Vec<LocalizedAsset> = others
            .map(|(name, localize)| LocalizedAsset {
                asset: name.to_string(),
                localize: *localize,
                installed: false,
            })
            .collect();
        all.extend(others);
        all.sort_by(|a, b| a.asset.cmp(&b.asset));
        Ok(all)
    }

    pub(crate) fn localize_of(&self, asset: &str) -> Localize {
        let name = PackageName::of_asset(asset).ok();
        let chosen = name.and_then(|name| self.config().localize.get(&name).copied());
        chosen.unwrap_or(Localize::Always)
    }

    /// Where no assets are named, take from what is tracked the inputs that are pulled only when they are. Returns theirs.
    pub(crate) fn left_on_demand(&self, names: &[String], tracked: &mut Vec<Tracked>) -> Vec<String> {
        if !names.is_empty() {
            return Vec::new();
        }
        let on_demand =
            |one: &mut Tracked| one.installed && self.localize_of(&one.name) == Localize::OnDemand;
        tracked.extract_if(.., on_demand).map(|one| one.name).collect()
    }
}
