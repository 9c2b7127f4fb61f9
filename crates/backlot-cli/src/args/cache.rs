//! Arguments of `cache`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::{DryRun, parse_age};

#[derive(Debug, Subcommand)]
pub(crate) enum Cache {
    /// Show the size of the cache and the workspaces that use it
    #[command(after_help = "Examples:\n  backlot cache status\n  backlot cache status --json | jq .free")]
    Status,
    /// Print the path of the cache
    #[command(after_help = "Examples:\n  backlot cache dir\n  du -sh \"$(backlot cache dir)\"")]
    Dir,
    /// Remove files that no workspace needs, the least recently used first
    #[command(
        after_help = "Files that are referenced by a pointer or lock of a workspace of this cache are kept, so files that were added but not pushed are\nnot lost. With --max-size or --min-free, only as much as necessary is removed. Sizes are bytes, or written as 500MB, 200GiB, 2TB.\nCleaning and commands that change a workspace wait for each other.\n\nExamples:\n  backlot cache clean --dry-run\n  backlot cache clean --unused-for 30d\n  backlot cache clean --max-size 500GiB\n  backlot cache clean --min-free 100GiB --unused-for 0\n  backlot cache clean --forget-missing        ignore workspaces that were deleted"
    )]
    Clean(CleanArgs),
}

#[derive(Debug, Args)]
pub(crate) struct CleanArgs {
    /// Keep files that were read, linked or written more recently, as 90m, 12h or 14d
    #[arg(long, value_name = "AGE", default_value = "24h", value_parser = parse_age)]
    unused_for: Duration,
    /// Stop when the cache is no larger than this
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    max_size: Option<u64>,
    /// Stop when this much is free on its disk
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    min_free: Option<u64>,
    /// Forget a workspace; files that only it needs can then be removed
    #[arg(long, value_name = "WORKSPACE")]
    forget: Vec<PathBuf>,
    /// Forget all workspaces that no longer exist
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
    let wrong = || format!("invalid size `{text}`; write a number of bytes, 500MB, 200GiB or 2TB");
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
