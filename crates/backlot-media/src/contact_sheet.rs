//! Contact sheets: thumbnails of a sequence in rows, each with its frame number.
//!
//! Invariant: the same frames give the same bytes. Where there are more frames than cells, they are taken at equal distances, the first and
//! the last among them. Deliberately absent: titles and burn-ins but the number.

use std::path::PathBuf;

use backlot_core::{Context, Operation, file};
use image::ExtendedColorType;
use serde::Serialize;

use crate::error::{Error, Result};
use crate::font;
use crate::limits::Limits;
use crate::picture::{Alpha, Encoding, Look, Size, Viewer, write};
use crate::proxy::{complete, warn_of_primaries};
use crate::sequence::{Frame, Sequence, SequenceSummary};
use crate::work::{at, each};

/// The background and the labels, encoded.
const BACKGROUND: u8 = 32;
const LABEL: u8 = 200;
/// Pixels between cells, and around them.
const GAP: usize = 4;
/// Size of the labels.
const SCALE: usize = 2;

/// How a sheet is made.
#[derive(Clone, Debug)]
pub struct SheetOptions {
    /// The file.
    pub output: PathBuf,
    /// Its kind.
    pub encoding: Encoding,
    /// Exposure and layer; alpha is not kept.
    pub look: Look,
    /// Columns of thumbnails; about as many as rows if not given.
    pub columns: Option<u32>,
    /// Width of a thumbnail in pixels.
    pub width: u32,
    /// The most thumbnails.
    pub count: u32,
    /// Limits against hostile images; also for the sheet.
    pub limits: Limits,
    /// Write nothing.
    pub dry_run: bool,
}

/// The result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SheetReport {
    /// The sequences.
    pub sequences: Vec<SequenceSummary>,
    /// The file.
    pub output: PathBuf,
    /// The numbers of the frames on it; none of a frame without one.
    pub frames: Vec<Option<u64>>,
    /// Columns and rows of thumbnails.
    pub cells: [usize; 2],
    /// Columns and rows of pixels, unless nothing was made.
    pub size: Option<[usize; 2]>,
    /// Bytes of the file.
    pub bytes: u64,
    /// Whether it was written: not if it is there with the same bytes.
    pub written: bool,
    /// Nothing was written.
    pub dry_run: bool,
}

/// A thumbnail, three 8-bit values a pixel.
#[derive(Debug)]
struct Thumbnail {
    number: Option<u64>,
    width: usize,
    height: usize,
    values: Vec<u8>,
    other_primaries: bool,
}

/// At most `count` of them, at equal distances.
fn sample<'a>(frames: &[&'a Frame], count: usize) -> Vec<&'a Frame> {
    if frames.len() <= count {
        return frames.to_vec();
    }
    let last = frames.len() - 1;
    let steps = (count - 1).max(1);
    (0..count).map(|step| frames[step * last / steps]).collect()
}

/// Make a contact sheet of sequences, one after another.
pub fn make_contact_sheet(
    context: &Context,
    sequences: &[Sequence],
    options: &SheetOptions,
) -> Result<SheetReport> {
    check(options)?;
    complete(sequences)?;
    let all: Vec<&Frame> = sequences.iter().flat_map(|sequence| &sequence.frames).collect();
    if let Some(input) = all
        .iter()
        .find(|frame| file::is_same_file(&frame.path, &options.output))
    {
        return Err(Error::OverInput {
            path: input.path.clone(),
        });
    }
    let frames = sample(&all, options.count as usize);
    let columns = options
        .columns
        .map_or_else(|| frames.len().isqrt().max(1), |columns| columns as usize);
    let columns = columns.min(frames.len());
    let mut report = SheetReport {
        sequences: sequences.iter().map(SequenceSummary::from).collect(),
        output: options.output.clone(),
        frames: frames.iter().map(|frame| frame.number).collect(),
        cells: [columns, frames.len().div_ceil(columns)],
        size: None,
        bytes: 0,
        written: false,
        dry_run: options.dry_run,
    };
    if options.dry_run {
        return Ok(report);
    }
    let viewer = Viewer::new(options.limits);
    let thumbnails = each(
        context,
        Operation::Transcode,
        options.limits.jobs,
        &frames,
        |frame| thumbnail(&viewer, frame, options),
    )?;
    if let Some((frame, _)) = frames
        .iter()
        .zip(&thumbnails)
        .find(|(_, thumb)| thumb.other_primaries)
    {
        warn_of_primaries(context, &frame.path);
    }
    let (values, width, height) = sheet(&thumbnails, report.cells, options)?;
    let encoded = write(&values, width, height, ExtendedColorType::Rgb8, options.encoding);
    let bytes = encoded.map_err(at(&options.output))?;
    report.size = Some([width, height]);
    report.bytes = bytes.len() as u64;
    report.written = file::write_for_now_if_changed(&options.output, &bytes)?;
    Ok(report)
}

fn check(options: &SheetOptions) -> Result<()> {
    options.look.check(options.encoding)?;
    let bad = |what: &str, help| {
        Err(Error::BadOption {
            what: what.to_owned(),
            help,
        })
    };
    if options.look.alpha == Alpha::Keep {
        return bad(
            "a contact sheet has no transparency",
            "omit alpha, or composite it",
        );
    }
    if options.columns == Some(0) || options.width == 0 || options.count == 0 {
        return bad(
            "columns, width and number of thumbnails must be greater than zero",
            "omit them to use the defaults",
        );
    }
    Ok(())
}

fn thumbnail(viewer: &Viewer, frame: &Frame, options: &SheetOptions) -> Result<Thumbnail> {
    // Nothing that is 100 times as high as wide makes the sheet higher than a screen.
    let size = Size::Within(options.width, options.width.saturating_mul(2));
    let shown = viewer
        .show(&frame.path, &options.look, size)
        .map_err(at(&frame.path))?;
    Ok(Thumbnail {
        number: frame.number,
        width: shown.pixels.width,
        height: shown.pixels.height,
        values: viewer.values(&shown.pixels, options.look.alpha),
        other_primaries: shown.other_primaries,
    })
}

/// The values of a sheet, its width and its height.
fn sheet(
    thumbnails: &[Thumbnail],
    [columns, rows]: [usize; 2],
    options: &SheetOptions,
) -> Result<(Vec<u8>, usize, usize)> {
    let cell_width = options.width as usize;
    let picture_height = thumbnails.iter().map(|thumb| thumb.height).max().unwrap_or(0);
    let cell_height = picture_height + GAP + font::height(SCALE);
    let (width, height) = (
        columns * (cell_width + GAP) + GAP,
        rows * (cell_height + GAP) + GAP,
    );
    let fits = options.limits.check_pixels(width as u64, height as u64);
    fits.map_err(at(&options.output))?;
    let mut values = vec![BACKGROUND; width * height * 3];
    for (index, thumb) in thumbnails.iter().enumerate() {
        let left = GAP + index % columns * (cell_width + GAP);
        let top = GAP + index / columns * (cell_height + GAP);
        let (x, y) = (
            left + (cell_width - thumb.width) / 2,
            top + (picture_height - thumb.height) / 2,
        );
        for (row, line) in thumb.values.chunks_exact(thumb.width * 3).enumerate() {
            let start = ((y + row) * width + x) * 3;
            values[start..start + line.len()].copy_from_slice(line);
        }
        let label = thumb
            .number
            .map_or_else(Vec::new, |number| font::pixels(number, SCALE));
        for (column, row) in label.into_iter().filter(|(column, _)| *column < cell_width) {
            let start = ((top + picture_height + GAP + row) * width + left + column) * 3;
            values[start..start + 3].fill(LABEL);
        }
    }
    Ok((values, width, height))
}
