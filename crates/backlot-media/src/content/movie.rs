//! Movies in boxes (ISO/IEC 14496-12, and Apple's MOV before it): picture size, frame rate, duration and codec, and whether all of it is there.
//!
//! Read are the boxes of the movie header and where the samples lie, never a sample. Invariants: the header is held whole, so it is bounded; boxes are
//! counted and nest only as far as the standard does. Deliberately absent: Matroska and others; codecs.

use serde::{Deserialize, Serialize};

use super::bytes::{Bytes, Source};
use super::damaged;
use crate::error::Trouble;

/// The largest movie header that is read. One of ten hours has some MiB.
const MOST_HEADER: u64 = 64 << 20;
/// The most boxes of a file or a header.
const MOST_BOXES: usize = 100_000;

/// A fraction, as movies have times and rates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ratio {
    /// Its numerator.
    pub over: u64,
    /// Its denominator, never zero.
    pub under: u64,
}

impl Ratio {
    /// In lowest terms; `None` of a division by zero.
    fn new(over: u64, under: u64) -> Option<Self> {
        let (mut a, mut b) = (over, under);
        while b != 0 {
            (a, b) = (b, a % b);
        }
        (under != 0).then(|| Self {
            over: over / a.max(1),
            under: under / a.max(1),
        })
    }

    /// As a number.
    #[expect(
        clippy::cast_precision_loss,
        reason = "for people, and compared with a tolerance"
    )]
    pub fn value(self) -> f64 {
        self.over as f64 / self.under.max(1) as f64
    }
}

/// The metadata of the first video track in the header of a movie.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MovieFacts {
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// The code of the codec: `avc1`, `apch`.
    pub codec: String,
    /// Frames; `None` where the file is in fragments, which say it one by one.
    pub frames: Option<u64>,
    /// Frames in a second, on average; `None` where it has fewer than one frame.
    pub fps: Option<Ratio>,
    /// Whether all frames but the last take the same time.
    pub constant: bool,
    /// Seconds.
    pub duration: Ratio,
}

/// A box of a header.
struct Atom<'a> {
    kind: [u8; 4],
    body: Bytes<'a>,
}

/// The boxes in a part of a header.
fn atoms<'a>(mut bytes: Bytes<'a>, count: &mut usize) -> Result<Vec<Atom<'a>>, Trouble> {
    let mut atoms = Vec::new();
    // QuickTime ends some lists with four zeros.
    while bytes.0.len() >= 8 {
        *count += 1;
        if *count > MOST_BOXES {
            return Err(Trouble::TooLarge(format!("more than {MOST_BOXES} boxes")));
        }
        let whole = bytes.0.len();
        let size = bytes.u32_be()?;
        let kind = bytes.array()?;
        let size = match size {
            0 => whole,
            1 => usize::try_from(bytes.u64_be()?).unwrap_or(usize::MAX),
            size => size as usize,
        };
        let head = whole - bytes.0.len();
        let length = size
            .checked_sub(head)
            .ok_or_else(|| damaged("a box is smaller than its own header"))?;
        atoms.push(Atom {
            kind,
            body: Bytes(bytes.take(length)?),
        });
    }
    Ok(atoms)
}

fn find<'a>(atoms: &[Atom<'a>], kind: [u8; 4]) -> Option<Bytes<'a>> {
    atoms.iter().find(|atom| atom.kind == kind).map(|atom| atom.body)
}

pub(super) fn read(path: &std::path::Path) -> Result<MovieFacts, Trouble> {
    let mut source = Source::open(path)?;
    let header = header(&mut source)?;
    let mut count = 0;
    let movie = atoms(Bytes(&header), &mut count)?;
    let is_fragmented = find(&movie, *b"mvex").is_some();
    for track in movie.iter().filter(|atom| &atom.kind == b"trak") {
        let boxes = atoms(track.body, &mut count)?;
        if let Some(facts) = pictures(&boxes, is_fragmented, source.size, &mut count)? {
            return Ok(facts);
        }
    }
    Err(damaged("it has no track of pictures"))
}

/// The bytes of the movie header, found among the boxes of the file, all of which are within it.
fn header(source: &mut Source) -> Result<Vec<u8>, Trouble> {
    let (mut at, mut found, mut boxes) = (0, None, 0);
    while at < source.size {
        boxes += 1;
        if boxes > MOST_BOXES {
            return Err(Trouble::TooLarge(format!("more than {MOST_BOXES} boxes")));
        }
        let left = source.size - at;
        if left < 8 {
            break;
        }
        let head = source.read(at, left.min(16))?;
        let mut bytes = Bytes(&head);
        let (size, kind) = (u64::from(bytes.u32_be()?), bytes.array::<4>()?);
        if at == 0 && !kind.iter().all(|byte| (0x20..0x7f).contains(byte)) {
            return Err(damaged("it does not start with an MP4 or QuickTime header"));
        }
        let (size, head) = match size {
            0 => (left, 8),
            1 => (bytes.u64_be()?, 16),
            size => (size, 8),
        };
        if size < head {
            return Err(damaged("a box is smaller than its own header"));
        }
        if size > left {
            let kind = String::from_utf8_lossy(&kind).into_owned();
            return Err(damaged(format!(
                "it is truncated: its box `{}` has {size} bytes, {left} are there",
                kind.escape_debug()
            )));
        }
        if &kind == b"moov" && found.is_none() {
            if size - head > MOST_HEADER {
                return Err(Trouble::TooLarge(format!("a movie header of {size} bytes")));
            }
            found = Some((at + head, size - head));
        }
        at += size;
    }
    let (at, size) =
        found.ok_or_else(|| damaged("it has no movie header: the program that wrote it did not finish"))?;
    source.read(at, size)
}

/// What a track says, if it is one of pictures.
fn pictures(
    track: &[Atom<'_>],
    is_fragmented: bool,
    file: u64,
    count: &mut usize,
) -> Result<Option<MovieFacts>, Trouble> {
    let Some(media) = find(track, *b"mdia") else {
        return Ok(None);
    };
    let media = atoms(media, count)?;
    let Some(mut handler) = find(&media, *b"hdlr") else {
        return Ok(None);
    };
    handler.take(8)?;
    if &handler.array()? != b"vide" {
        return Ok(None);
    }
    let missing = |name: &str| damaged(format!("its track of pictures has no `{name}`"));
    let (scale, ticks) = media_time(find(&media, *b"mdhd").ok_or_else(|| missing("mdhd"))?)?;
    let information = atoms(find(&media, *b"minf").ok_or_else(|| missing("minf"))?, count)?;
    let table = atoms(
        find(&information, *b"stbl").ok_or_else(|| missing("stbl"))?,
        count,
    )?;
    let mut entry = find(&table, *b"stsd").ok_or_else(|| missing("stsd"))?;
    entry.take(8)?;
    let mut entry = atoms(entry, count)?
        .into_iter()
        .next()
        .ok_or_else(|| missing("stsd"))?;
    // Reserved, an index, and what a sample entry of pictures begins with.
    entry.body.take(24)?;
    let (width, height) = (entry.body.u16_be()?, entry.body.u16_be()?);
    if width == 0 || height == 0 {
        return Err(damaged("its pictures have no size"));
    }
    let (frames, sum, constant) = times(find(&table, *b"stts").ok_or_else(|| missing("stts"))?)?;
    if !is_fragmented {
        chunks_are_there(&table, file)?;
    }
    let by_header = Ratio::new(ticks, u64::from(scale)).ok_or_else(|| damaged("its time has no unit"))?;
    Ok(Some(MovieFacts {
        width: u32::from(width),
        height: u32::from(height),
        codec: String::from_utf8_lossy(&entry.kind).escape_debug().to_string(),
        frames: (!is_fragmented).then_some(frames),
        fps: Ratio::new(frames.saturating_mul(u64::from(scale)), sum).filter(|_| frames > 0),
        constant,
        duration: Ratio::new(sum, u64::from(scale))
            .filter(|_| sum > 0)
            .unwrap_or(by_header),
    }))
}

/// The unit of time of a track (parts of a second), and its duration.
fn media_time(mut bytes: Bytes<'_>) -> Result<(u32, u64), Trouble> {
    let [version, ..] = bytes.array::<4>()?;
    if version == 1 {
        bytes.take(16)?;
        Ok((bytes.u32_be()?, bytes.u64_be()?))
    } else {
        bytes.take(8)?;
        Ok((bytes.u32_be()?, u64::from(bytes.u32_be()?)))
    }
}

/// Frames, their time together, and whether each but the last takes the same.
fn times(mut bytes: Bytes<'_>) -> Result<(u64, u64, bool), Trouble> {
    bytes.take(4)?;
    let entries = bytes.u32_be()?;
    let (mut frames, mut sum, mut runs) = (0_u64, 0_u64, Vec::new());
    for _ in 0..entries {
        let (count, delta) = (u64::from(bytes.u32_be()?), u64::from(bytes.u32_be()?));
        let time = count.saturating_mul(delta);
        (frames, sum) = (frames.saturating_add(count), sum.saturating_add(time));
        if runs.last().is_none_or(|(_, last)| *last != delta) {
            runs.push((count, delta));
        }
    }
    let constant = matches!(runs.as_slice(), [] | [_] | [_, (1, _)]);
    Ok((frames, sum, constant))
}

/// Damage where a chunk of samples begins behind the end of the file.
fn chunks_are_there(table: &[Atom<'_>], file: u64) -> Result<(), Trouble> {
    let is_wide = find(table, *b"co64").is_some();
    let Some(mut offsets) = find(table, *b"co64").or_else(|| find(table, *b"stco")) else {
        return Err(damaged("its track of pictures does not say where they are"));
    };
    offsets.take(4)?;
    for _ in 0..offsets.u32_be()? {
        let at = if is_wide {
            offsets.u64_be()?
        } else {
            u64::from(offsets.u32_be()?)
        };
        if at >= file {
            return Err(damaged("it is truncated: pictures are past its end"));
        }
    }
    Ok(())
}
