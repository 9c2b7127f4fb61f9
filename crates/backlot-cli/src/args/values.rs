//! Types of option values.

/// An export format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum ExportFormat {
    /// requirements.txt
    Requirements,
    /// pylock.toml (PEP 751)
    Pylock,
}

/// When the files of an input are pulled.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(crate) enum LocalizeArg {
    /// By every pull, and by `install --pull`
    Always,
    /// Only when the asset is named
    OnDemand,
}

/// A status of releases whose files a collection may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum DroppedStatus {
    /// Deprecated
    Deprecated,
    /// Yanked
    Yanked,
}

/// Which releases give up their files.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct DropArgs {
    /// Also collect the files of releases with this status: deprecated, yanked or both. Their wheels are kept
    #[arg(
        long,
        value_name = "STATUS",
        value_delimiter = ',',
        requires = "remote",
        conflicts_with = "restore"
    )]
    drop: Vec<DroppedStatus>,
    /// Only of releases that have had the status for this long
    #[arg(long, value_name = "AGE", default_value = "30d", requires = "drop", value_parser = parse_age)]
    drop_age: std::time::Duration,
}

impl From<&DropArgs> for backlot::DropOptions {
    fn from(asked: &DropArgs) -> Self {
        Self::new()
            .deprecated(asked.drop.contains(&DroppedStatus::Deprecated))
            .yanked(asked.drop.contains(&DroppedStatus::Yanked))
            .age(asked.drop_age)
    }
}

impl From<LocalizeArg> for backlot::Localize {
    fn from(when: LocalizeArg) -> Self {
        match when {
            LocalizeArg::Always => Self::Always,
            LocalizeArg::OnDemand => Self::OnDemand,
        }
    }
}

/// An age: `90m`, `12h`, `14d`, or `0`.
pub(super) fn parse_age(text: &str) -> Result<std::time::Duration, String> {
    let wrong = || format!("invalid duration `{text}`; write 90m, 12h or 14d");
    if text == "0" {
        return Ok(std::time::Duration::ZERO);
    }
    let (number, unit) = text
        .split_at_checked(text.len().saturating_sub(1))
        .ok_or_else(wrong)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return Err(wrong()),
    };
    let number: u64 = number.parse().map_err(|_| wrong())?;
    number
        .checked_mul(seconds)
        .map(std::time::Duration::from_secs)
        .ok_or_else(wrong)
}
