//! Functions of an asset's package that are run by name: `setup`, `build`, `process`.
//!
//! As the original engine has them: scripts whose names begin with `tgzr.pipeline.asset.`; and entries of the group `backlot.hooks`, which count before.
//! Deliberately absent: running them, which is the caller's, in the environment that has the asset.

use backlot_pep::PackageName;
use backlot_wheel::EntryPoints;
use serde::{Deserialize, Serialize};

use crate::environment::lockfile::Lock;
use crate::error::Result;
use crate::workspace::Opened;

/// The group of our own.
const GROUP: &str = "backlot.hooks";
/// How the names of the original engine's scripts begin.
const PREFIX: &str = "tgzr.pipeline.asset.";

/// A function that can be run by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Hook {
    /// Its name, as `build`.
    pub name: String,
    /// The module.
    pub module: String,
    /// The function in it, with dots where it is one of something.
    pub function: String,
}

impl Hook {
    /// Its command: arguments of Python, before those of the function.
    pub fn arguments(&self) -> [&str; 4] {
        ["-c", RUN, &self.module, &self.function]
    }

    /// A value like `module:function`, perhaps with groups after it.
    fn parse(name: &str, value: &str) -> Option<Self> {
        let value = value.split('[').next().unwrap_or_default().trim();
        let (module, function) = value.split_once(':')?;
        let (module, function) = (module.trim(), function.trim());
        let is_path = |text: &str| {
            let is_word =
                |word: &str| !word.is_empty() && word.chars().all(|c| c.is_alphanumeric() || c == '_');
            text.split('.').all(is_word)
        };
        (is_path(module) && is_path(function)).then(|| Self {
            name: name.to_owned(),
            module: module.to_owned(),
            function: function.to_owned(),
        })
    }

    /// All hooks of a package, sorted.
    fn all_of(points: &EntryPoints) -> Vec<Self> {
        let own = points.group(GROUP).into_iter().flatten();
        let own = own.filter_map(|(name, value)| Self::parse(name, value));
        let scripts = points.group("console_scripts").into_iter().flatten();
        let scripts = scripts.filter_map(|(name, value)| Self::parse(name.strip_prefix(PREFIX)?, value));
        let mut all: Vec<Self> = own.chain(scripts).collect();
        // The first of a name stays.
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all.dedup_by(|a, b| a.name == b.name);
        all
    }
}

/// The program that imports a module and calls a function of it, whose value is the exit code, as of a script.
const RUN: &str = "import importlib, sys\nmodule, function = sys.argv[1:3]\nsys.argv = [module, *sys.argv[3:]]\nfound = importlib.import_module(module)\nfor name in function.split('.'):\n    found = getattr(found, name)\nsys.exit(found())\n";

impl Opened {
    /// The hooks of an asset that is installed, or an output.
    pub(crate) fn asset_hooks(&self, asset: &str) -> Result<Vec<Hook>> {
        let name = PackageName::of_asset(asset)?;
        let installed = match self.environment()? {
            Some(environment) => environment.installed()?,
            None => Vec::new(),
        };
        let found = installed.iter().find(|dist| dist.metadata.package() == name);
        match found {
            Some(dist) => Ok(Hook::all_of(&dist.entry_points)),
            None => Err(Lock::lacks(Lock::load(self.root())?.as_ref(), name).into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use backlot_wheel::EntryPoints;

    use super::Hook;

    #[test]
    fn hooks_are_scripts_of_the_original_engine_and_entries_of_our_own_group() {
        let points = EntryPoints::parse(
            "[console_scripts]\nbuilder = builder:execute\ntgzr.pipeline.asset.build = builder:build\ntgzr.pipeline.asset.create = builder:asset.create [gui]\ntgzr.pipeline.asset.bad = builder; import os\n[backlot.hooks]\nbuild = builder.own:build\n",
        );
        let found: Vec<String> = Hook::all_of(&points)
            .iter()
            .map(|hook| format!("{} {}:{}", hook.name, hook.module, hook.function))
            .collect();
        assert_eq!(found, ["build builder.own:build", "create builder:asset.create"]);
    }
}
