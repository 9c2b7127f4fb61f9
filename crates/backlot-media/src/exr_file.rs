//! EXR files: header, decoding of every chunk, non-finite values.
//!
//! Invariants: sizes are judged before chunks are read; one decoded chunk is held at a time, and each chunk is there once.
//! Deliberately absent: deep data, subsampled channels and HTJ2K compression, which the decoder does not have: said, not
//! misread.

use std::collections::HashSet;
use std::io::BufReader;
use std::path::Path;

use backlot_core::{FileError, file};
use exr::block::UncompressedBlock;
use exr::block::reader::{ChunksReader as _, Reader};
use exr::math::Vec2;
use exr::meta::MetaData;
use exr::meta::attribute::SampleType;
use exr::meta::header::Header;
use exr::prelude::Compression;
use fs_err as fs;

use crate::error::Trouble;
use crate::facts::{Format, ImageFacts, NotFinite, PartFacts, Window};
use crate::limits::{Limits, Memory};

type Source = BufReader<fs::File>;

/// The reason, reworded where the decoder's message is unclear.
pub(crate) fn trouble(error: exr::error::Error) -> Trouble {
    use exr::error::Error;
    match error {
        Error::NotSupported(what) => Trouble::Unsupported(what.into_owned()),
        Error::Invalid(what) if what.contains("reference to missing bytes") => {
            Trouble::Damaged("it is truncated".to_owned())
        }
        Error::Invalid(what) => Trouble::Damaged(format!("invalid {what}")),
        Error::Io(error) if error.raw_os_error().is_some() => Trouble::File(FileError::from(error)),
        other => Trouble::Damaged(other.to_string()),
    }
}

fn window(position: Vec2<i32>, size: Vec2<usize>) -> Window {
    Window {
        x: i64::from(position.x()),
        y: i64::from(position.y()),
        width: size.width() as u64,
        height: size.height() as u64,
    }
}

fn compression(header: &Header) -> String {
    let name = match header.compression {
        Compression::Uncompressed => "none",
        Compression::RLE => "RLE",
        Compression::ZIP1 => "ZIPS",
        Compression::ZIP16 => "ZIP",
        Compression::PIZ => "PIZ",
        Compression::PXR24 => "PXR24",
        Compression::B44 => "B44",
        Compression::B44A => "B44A",
        Compression::DWAA(_) => "DWAA",
        Compression::DWAB(_) => "DWAB",
        Compression::HTJ2K32 => "HTJ2K32",
        Compression::HTJ2K256 => "HTJ2K256",
    };
    name.to_owned()
}

fn facts(headers: &[Header]) -> Option<ImageFacts> {
    let display = headers.first()?.shared_attributes.display_window;
    let parts = headers.iter().map(|header| {
        let channels = header.channels.list.iter().map(|channel| {
            let kind = match channel.sample_type {
                SampleType::F16 => "half",
                SampleType::F32 => "float",
                SampleType::U32 => "uint",
            };
            format!("{} {kind}", channel.name)
        });
        PartFacts {
            name: header.own_attributes.layer_name.as_ref().map(ToString::to_string),
            data: window(header.own_attributes.layer_position, header.layer_size),
            channels: channels.collect(),
            compression: compression(header),
        }
    });
    Some(ImageFacts {
        format: Format::Exr,
        display: window(display.position, display.size),
        parts: parts.collect(),
    })
}

/// The header; refused if it exceeds the limits.
pub(crate) fn read_facts(path: &Path, limits: &Limits) -> Result<ImageFacts, Trouble> {
    let meta = MetaData::read_from_buffered(BufReader::new(file::open(path)?), false).map_err(trouble)?;
    let facts = facts(&meta.headers).ok_or_else(|| Trouble::Damaged("it has no parts".to_owned()))?;
    limits.check_pixels(facts.display.width, facts.display.height)?;
    let mut bytes = Some(0_u64);
    for (header, part) in meta.headers.iter().zip(&facts.parts) {
        limits.check_pixels(part.data.width, part.data.height)?;
        let pixels = part.data.width * part.data.height;
        let of_part = pixels.checked_mul(header.channels.bytes_per_pixel as u64);
        bytes = bytes.and_then(|sum| sum.checked_add(of_part?));
    }
    limits.check_bytes(bytes)?;
    Ok(facts)
}

/// Open a file whose facts were read.
pub(crate) fn open(path: &Path) -> Result<Reader<Source>, Trouble> {
    let source = BufReader::with_capacity(1 << 18, file::open(path)?);
    let reader = exr::block::read(source, false).map_err(trouble)?;
    for header in reader.headers() {
        if header.deep {
            return Err(Trouble::Unsupported("deep data".to_owned()));
        }
        let subsampled = |channel: &&exr::meta::attribute::ChannelDescription| channel.sampling != Vec2(1, 1);
        if let Some(channel) = header.channels.list.iter().find(subsampled) {
            return Err(Trouble::Unsupported(format!(
                "subsampled channel {}",
                channel.name
            )));
        }
        if matches!(header.compression, Compression::HTJ2K32 | Compression::HTJ2K256) {
            return Err(Trouble::Unsupported(format!(
                "{} compression",
                compression(header)
            )));
        }
    }
    Ok(reader)
}

/// Decode every chunk of a file whose facts were read; the values that are not finite, by part and channel. Memory is taken for a chunk as it is
/// stored and decoded.
pub(crate) fn check(path: &Path, memory: &Memory) -> Result<Vec<NotFinite>, Trouble> {
    let mut chunks = open(path)?.all_chunks(true).map_err(trouble)?;
    let largest = chunks.headers().iter().map(Header::max_block_byte_size).max();
    let _share = memory.take((largest.unwrap_or_default() as u64).saturating_mul(2));
    let parts = chunks.headers().len();
    let mut found: Vec<Vec<Option<NotFinite>>> = chunks
        .headers()
        .iter()
        .map(|header| vec![None; header.channels.list.len()])
        .collect();
    let mut seen = HashSet::new();
    for _ in 0..chunks.expected_chunk_count() {
        let missing = || Trouble::Damaged("it is truncated".to_owned());
        let chunk = chunks.read_next_chunk().ok_or_else(missing)?.map_err(trouble)?;
        let layer = chunk.layer_index;
        let header = &chunks.headers()[layer];
        let place = header
            .get_block_data_indices(&chunk.compressed_block)
            .map_err(trouble)?;
        if !seen.insert((layer, place)) {
            return Err(Trouble::Damaged("a part of the picture occurs twice".to_owned()));
        }
        let block = UncompressedBlock::decompress_chunk(chunk, chunks.meta_data(), true).map_err(trouble)?;
        scan(&block, &chunks.headers()[layer], parts > 1, &mut found[layer]);
    }
    Ok(found.into_iter().flatten().flatten().collect())
}

/// A position in the coordinates of the display window, from one in a data window that begins at `origin`.
pub(crate) fn along(origin: i32, position: usize) -> i64 {
    i64::from(origin).saturating_add(i64::try_from(position).unwrap_or(i64::MAX))
}

/// Note values of a chunk that are not finite.
fn scan(block: &UncompressedBlock, header: &Header, named: bool, found: &mut [Option<NotFinite>]) {
    let origin = header.own_attributes.layer_position;
    for line in block.lines(&header.channels) {
        let channel = &header.channels.list[line.location.channel];
        let mut note = |column: usize, is_nan: bool| {
            let position = line.location.position;
            let entry = found[line.location.channel].get_or_insert_with(|| NotFinite {
                part: header
                    .own_attributes
                    .layer_name
                    .as_ref()
                    .filter(|_| named)
                    .map(ToString::to_string),
                channel: channel.name.to_string(),
                nan: 0,
                inf: 0,
                first: [
                    along(origin.x(), position.x() + column),
                    along(origin.y(), position.y()),
                ],
            });
            *(if is_nan { &mut entry.nan } else { &mut entry.inf }) += 1;
        };
        match channel.sample_type {
            SampleType::F16 => {
                for (column, bytes) in line.value.chunks_exact(2).enumerate() {
                    let bits = u16::from_ne_bytes([bytes[0], bytes[1]]);
                    if bits & 0x7c00 == 0x7c00 {
                        note(column, bits & 0x03ff != 0);
                    }
                }
            }
            SampleType::F32 => {
                for (column, bytes) in line.value.chunks_exact(4).enumerate() {
                    let bits = u32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
                    if bits & 0x7f80_0000 == 0x7f80_0000 {
                        note(column, bits & 0x007f_ffff != 0);
                    }
                }
            }
            SampleType::U32 => {}
        }
    }
}
