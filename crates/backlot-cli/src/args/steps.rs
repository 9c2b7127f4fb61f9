//! Arguments of `step`: built-in steps for frames and files.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::DryRun;

#[derive(Debug, Subcommand)]
pub(crate) enum Step {
    /// Convert frames to small JPEG or PNG files with the same numbers
    #[command(
        after_help = "FRAMES are files, a folder, or a pattern in quotes: \"beauty.####.exr\", \"beauty.%04d.exr\", \"beauty.1001-1100.exr\".\nEXR is linear; it is exposed, clipped, resized in linear light and encoded as sRGB. Its primaries are not converted. The same\nframes give the same bytes on every machine. A damaged frame is reported as an error; all others are written.\n\nExamples:\n  backlot step proxy frames -o proxies --width 960\n  backlot step proxy \"render/beauty.####.exr\" -o proxies --exposure 1.5 --scale 0.5\n  backlot step proxy \"render/beauty.1001-1100.exr\" -o proxies --layer diffuse --format png\n  backlot step proxy frames -o proxies --dry-run"
    )]
    Proxy(ProxyArgs),
    /// Make a contact sheet: thumbnails of frames with their numbers
    #[command(
        after_help = "If there are more frames than thumbnails, evenly spaced frames are used, including the first and the last.\n\nExamples:\n  backlot step contact-sheet frames -o sheet.jpg\n  backlot step contact-sheet \"render/beauty.####.exr\" -o sheet.png --count 12 --columns 4 --width 320"
    )]
    ContactSheet(SheetArgs),
    /// Write a manifest of files with sizes and digests, or check files against one
    #[command(
        after_help = "Names are relative to the folder of the manifest. Without -o it is printed, with names relative to the current\nfolder. --check also reads manifests of `b3sum` and `md5sum`.\n\nExamples:\n  backlot step checksum frames -o manifest.json\n  backlot step checksum --check manifest.json\n  backlot step checksum frames --format md5sum -o MD5SUMS && md5sum --check MD5SUMS\n  backlot step checksum delivery --format b3sum -o delivery/B3SUMS"
    )]
    Checksum(ChecksumArgs),
    /// Check that frames are complete, consistent and readable to the last pixel
    #[command(
        after_help = "Errors: missing, duplicate and unexpected frames, mixed padding, differing size, channels or display window, damage,\nNaN and infinite values. Warnings: differing data window or compression, unsupported kinds of EXR.\nThe exit code is 7 if there are errors.\n\nExamples:\n  backlot step frames-check frames\n  backlot step frames-check \"render/beauty.####.exr\" --expect 1001-1100\n  backlot step frames-check frames --strict --json > report.json\n  backlot step frames-check frames --headers-only"
    )]
    FramesCheck(FramesCheckArgs),
}

/// Conversion of a frame for display.
#[derive(Debug, Args)]
pub(crate) struct Look {
    /// Exposure in stops
    #[arg(
        long,
        value_name = "STOPS",
        default_value_t = 0.0,
        allow_negative_numbers = true
    )]
    pub(crate) exposure: f64,
    /// The layer of an EXR file: the name of a part, or of channels as in NAME.R [default: the first with colours]
    #[arg(long, value_name = "NAME")]
    pub(crate) layer: Option<String>,
    /// JPEG quality
    #[arg(long, value_name = "1-100", default_value_t = 90, value_parser = clap::value_parser!(u8).range(1..=100))]
    pub(crate) quality: u8,
    /// The number of frames to process at the same time [default: the number of cores]
    #[arg(long, short, value_name = "N")]
    pub(crate) jobs: Option<NonZeroUsize>,
}

#[derive(Debug, Args)]
pub(crate) struct ProxyArgs {
    /// Files, folders or patterns
    #[arg(required = true)]
    pub(crate) frames: Vec<PathBuf>,
    /// The folder for the proxies
    #[arg(long, short, value_name = "DIR")]
    pub(crate) output: PathBuf,
    /// The format of the proxies
    #[arg(long, value_enum, value_name = "FORMAT", default_value = "jpg")]
    pub(crate) format: ImageFormat,
    /// Width in pixels; with --height, the largest size that fits into both
    #[arg(long, value_name = "PIXELS")]
    pub(crate) width: Option<u32>,
    /// Height in pixels
    #[arg(long, value_name = "PIXELS")]
    pub(crate) height: Option<u32>,
    /// Size relative to the original, as 0.5
    #[arg(long, value_name = "FACTOR", conflicts_with_all = ["width", "height"])]
    pub(crate) scale: Option<f64>,
    /// Transparency: composited over black, dropped (colours as stored), or kept (PNG only)
    #[arg(long, value_enum, value_name = "ALPHA", default_value = "composite")]
    pub(crate) alpha: AlphaMode,
    #[command(flatten)]
    pub(crate) look: Look,
    #[command(flatten)]
    pub(crate) dry: DryRun,
}

#[derive(Debug, Args)]
pub(crate) struct SheetArgs {
    /// Files, folders or patterns
    #[arg(required = true)]
    pub(crate) frames: Vec<PathBuf>,
    /// The sheet: NAME.jpg or NAME.png
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: PathBuf,
    /// Columns of thumbnails [default: about as many as rows]
    #[arg(long, value_name = "N")]
    pub(crate) columns: Option<u32>,
    /// Width of a thumbnail in pixels
    #[arg(long, value_name = "PIXELS", default_value_t = 240)]
    pub(crate) width: u32,
    /// The maximum number of thumbnails
    #[arg(long, value_name = "N", default_value_t = 64)]
    pub(crate) count: u32,
    #[command(flatten)]
    pub(crate) look: Look,
    #[command(flatten)]
    pub(crate) dry: DryRun,
}

#[derive(Debug, Args)]
pub(crate) struct ChecksumArgs {
    /// Files, or folders with all files below
    #[arg(required_unless_present = "check")]
    pub(crate) paths: Vec<PathBuf>,
    /// The manifest to write
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// The format of the manifest: JSON has sizes, BLAKE3 and MD5
    #[arg(long, value_enum, value_name = "FORMAT", default_value = "json")]
    pub(crate) format: SumFormat,
    /// Check files against this manifest instead
    #[arg(long, value_name = "FILE", conflicts_with_all = ["paths", "output", "format"])]
    pub(crate) check: Option<PathBuf>,
    /// The number of files to process at the same time [default: the number of cores]
    #[arg(long, short, value_name = "N")]
    pub(crate) jobs: Option<NonZeroUsize>,
    #[command(flatten)]
    pub(crate) dry: DryRun,
}

#[derive(Debug, Args)]
pub(crate) struct FramesCheckArgs {
    /// Files, folders or patterns
    #[arg(required = true)]
    pub(crate) frames: Vec<PathBuf>,
    /// The frames that each sequence must have, no more and no less, as 1001-1100 or 1-99x2,120
    #[arg(long, value_name = "FRAMES")]
    pub(crate) expect: Option<String>,
    /// Read headers only; fast, but damaged pixels are not detected
    #[arg(long)]
    pub(crate) headers_only: bool,
    /// Count warnings as errors
    #[arg(long)]
    pub(crate) strict: bool,
    /// The number of frames to process at the same time [default: the number of cores]
    #[arg(long, short, value_name = "N")]
    pub(crate) jobs: Option<NonZeroUsize>,
}

/// An image format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ImageFormat {
    /// JPEG
    #[value(alias = "jpeg")]
    Jpg,
    /// PNG
    Png,
}

/// Handling of transparency.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum AlphaMode {
    /// Composite over black
    Composite,
    /// Use the stored colours without transparency
    Drop,
    /// Keep it in the output
    Keep,
}

/// A manifest format.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum SumFormat {
    /// Sizes, BLAKE3 and MD5
    Json,
    /// Lines that `b3sum --check` reads
    B3sum,
    /// Lines that `md5sum --check` reads
    Md5sum,
}
