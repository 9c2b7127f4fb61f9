//! The arguments that bend the rules of choosing versions.

use clap::{Args, ValueEnum};

/// Which versions to prefer.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Preference {
    /// The newest that fit
    Highest,
    /// The oldest that fit, to test lower bounds
    Lowest,
    /// The oldest of what is asked for by name, the newest of all else
    LowestDirect,
}

/// Constraints, overrides, the cutoff, the preference.
#[derive(Clone, Debug, Args)]
pub(crate) struct RuleArgs {
    /// Which versions to prefer, this once
    #[arg(long, value_name = "WHICH")]
    pub(crate) resolution: Option<Preference>,
    /// Keep a package in a range for all that need it; a file has one a line, a bare name drops it. Remembered
    #[arg(long = "constraint", short = 'c', value_name = "REQ|FILE")]
    pub(crate) constraints: Vec<String>,
    /// Ask for this instead of what anybody asks of the package; a bare name drops it. Remembered
    #[arg(long = "override", value_name = "REQ")]
    pub(crate) overrides: Vec<String>,
    /// Only what was published until this date or time; `none` forgets it. Remembered
    #[arg(long, value_name = "DATE")]
    pub(crate) exclude_newer: Option<String>,
}

impl RuleArgs {
    /// The same for the facade. Files are of this folder, not of the workspace.
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
