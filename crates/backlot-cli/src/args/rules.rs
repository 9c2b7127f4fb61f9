//! Arguments that change which versions are chosen.

use clap::{Args, ValueEnum};

/// A preference among versions that fit.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Preference {
    /// The newest that fit
    Highest,
    /// The oldest that fit, to test lower bounds
    Lowest,
    /// The oldest of direct requirements, the newest of all others
    LowestDirect,
}

/// Constraints, overrides, cutoff date and preference.
#[derive(Clone, Debug, Args)]
pub(crate) struct RuleArgs {
    /// Which versions to prefer, this time only
    #[arg(long, value_name = "WHICH")]
    pub(crate) resolution: Option<Preference>,
    /// Constrain a package's version. Takes a requirement or a file with one per line; a bare name removes the constraint. Saved in backlot.toml
    #[arg(long = "constraint", short = 'c', value_name = "REQ|FILE")]
    pub(crate) constraints: Vec<String>,
    /// Replace all requirements on a package; a bare name removes the override. Saved in backlot.toml
    #[arg(long = "override", value_name = "REQ")]
    pub(crate) overrides: Vec<String>,
    /// Only releases published before this date or time; `none` removes the limit. Saved in backlot.toml
    #[arg(long, value_name = "DATE")]
    pub(crate) exclude_newer: Option<String>,
}

impl RuleArgs {
    /// The same for the facade. File names are relative to the current folder, not to the workspace.
    pub(crate) fn changes(&self) -> backlot::RuleChanges {
        let constraints = self.constraints.iter().map(|text| {
            let file = std::path::absolute(text).ok().filter(|path| path.is_file());
            file.map_or_else(|| text.clone(), |path| path.display().to_string())
        });
        backlot::RuleChanges::new()
            .constraints(constraints.collect::<Vec<_>>())
            .overrides(self.overrides.clone())
            .exclude_newer(self.exclude_newer.clone())
            .resolution(self.resolution.map(|resolution| match resolution {
                Preference::Highest => backlot::Preference::Highest,
                Preference::Lowest => backlot::Preference::Lowest,
                Preference::LowestDirect => backlot::Preference::LowestDirect,
            }))
    }
}
