//! The arguments of `cache`: the files that this machine keeps.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::{DryRun, parse_age};

#[derive(Debug, Subcommand)]
pub(crate) enum Cache {
    /// Tell what the cache of this workspace takes, and which workspaces use it
    #[command(after_help = "Examples:\n  backlot cache status\n  backlot cache status --json | jq .free")]
    Status,
    /// Print the folder of the cache
    #[command(after_help = "Examples:\n  backlot cache dir\n  du -sh \"$(backlot cache dir)\"")]
    Dir,
    /// Remove what no workspace needs, what was not used for the longest time first
    #[command(
        after_help = "What the pointers and locks of all workspaces of this cache name stays, so nothing that was added and not pushed is lost\nwhile a workspace has it. With --max-size or --min-free no more goes than they ask for. Sizes are numbers of bytes, or\nlike 500MB, 200GiB, 2TB. Commands that change a workspace wait meanwhile, and it waits for them.\n\nExamples:\n  backlot cache clean --dry-run\n  backlot cache clean --unused-for 30d\n  backlot cache clean --max-size 500GiB\n  backlot cache clean --min-free 100GiB --unused-for 0\n  backlot cache clean --forget-missing        workspaces that were deleted need nothing"
    )]
    Clean(CleanArgs),
}

#[derive(Debug, Args)]
pub(crate) struct CleanArgs {
    /// What was read, linked or written more recently stays, as 90m, 12h or 14d
    #[arg(long, value_name = "AGE", default_value = "24h", value_parser = parse_age)]
    unused_for: Duration,
    /// Only until the cache takes at most this
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    max_size: Option<u64>,
    /// Only until this is free on its disk
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    min_free: Option<u64>,
    /// Do without knowing what a workspace needs
    #[arg(long, value_name = "WORKSPACE")]
    forget: Vec<PathBuf>,
    /// Do without knowing what workspaces need that are not there
    #[arg(long)]
    forget_missing: bool,
    #[command(flatten)]
    dry: DryRun,
}

impl CleanArgs {
    pub(crate) fn options(&self) -> backlot::CleanOptions {
        backlot::CleanOptions::new()
            .unused_for(self.unused_for)
            .max_bytes(self.max_size)
            .min_free(self.min_free)
            .forget(self.forget.clone())
            .forget_missing(self.forget_missing)
            .dry_run(self.dry.dry_run)
    }
}

/// A size: bytes, `500MB` (of 1000), `200GiB` (of 1024).
fn parse_size(text: &str) -> Result<u64, String> {
    let wrong = || format!("`{text}` is no size; write a number of bytes, 500MB, 200GiB or 2TB");
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor: u64 = match unit {
        "" | "B" => 1,
        "kB" | "KB" => 1000,
        "MB" => 1000_u64.pow(2),
        "GB" => 1000_u64.pow(3),
        "TB" => 1000_u64.pow(4),
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        _ => return Err(wrong()),
    };
    let number: u64 = number.parse().map_err(|_| wrong())?;
    number.checked_mul(factor).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::parse_size;

    #[test]
    fn sizes_are_bytes_or_have_units_of_1000_or_1024() {
        for (text, size) in [
            ("0", 0),
            ("12B", 12),
            ("3kB", 3_000),
            ("3KiB", 3 << 10),
            ("500MB", 500_000_000),
            ("2GiB", 2 << 30),
            ("1TB", 1_000_000_000_000),
            ("1TiB", 1 << 40),
        ] {
            assert_eq!(parse_size(text), Ok(size), "{text}");
        }
        for text in [
            "",
            "GiB",
            "5G",
            "1.5GB",
            "-1",
            "5 GB",
            "5GBB",
            "5EB",
            "iB",
            "1iB",
            "99999999999TB",
        ] {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }
}
