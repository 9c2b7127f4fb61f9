//! The pixels of one layer of an EXR file, placed in its display window.
//!
//! A layer is a part, or channels with a name before a dot. Invariant: memory for the picture is taken when the offset table was read, which a
//! forged header has not. Deliberately absent: mip maps but the largest, primaries.

use std::path::Path;

use exr::block::UncompressedBlock;
use exr::block::chunk::TileCoordinates;
use exr::block::reader::ChunksReader as _;
use exr::math::Vec2;
use exr::meta::MetaData;
use exr::meta::attribute::{Chromaticities, SampleType};
use exr::meta::header::Header;
use exr::prelude::f16;

use crate::error::Trouble;
use crate::exr_file::{along, open, trouble};
use crate::facts::{ImageFacts, Window};

/// Pixels of the frame, linear, with premultiplied alpha; transparent black where the layer has none.
#[derive(Debug)]
pub(crate) struct Layer {
    /// Row by row.
    pub(crate) pixels: Vec<[f32; 4]>,
    /// The file says primaries that are not those of sRGB.
    pub(crate) other_primaries: bool,
}

/// Whether primaries are visibly not those of Rec. 709, which are those of sRGB.
fn is_other(primaries: Chromaticities) -> bool {
    let rec_709 = [(0.64, 0.33), (0.30, 0.60), (0.15, 0.06), (0.3127, 0.329)];
    let own = [primaries.red, primaries.green, primaries.blue, primaries.white];
    let far = |a: f32, b: f32| (a - b).abs() > 0.005;
    own.iter()
        .zip(rec_709)
        .any(|(own, (x, y))| far(own.x(), x) || far(own.y(), y))
}

/// Which channels of a part are red, green, blue and alpha.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Selection {
    part: usize,
    colours: [usize; 3],
    alpha: Option<usize>,
}

/// Find R, G, B (or Y) and A of the layer in a part: with its name before the channels, or none.
fn select_in(header: &Header, part: usize, prefix: &str) -> Option<Selection> {
    let find = |name: &str| {
        let wanted = format!("{prefix}{name}");
        let list = &header.channels.list;
        list.iter().position(|channel| channel.name.to_string() == wanted)
    };
    let colours = match (find("R"), find("G"), find("B"), find("Y")) {
        (Some(r), Some(g), Some(b), _) => [r, g, b],
        (_, _, _, Some(y)) => [y, y, y],
        _ => return None,
    };
    Some(Selection {
        part,
        colours,
        alpha: find("A"),
    })
}

/// Every layer with colours: by the name of its part, or what is before the names of its channels.
fn layers(headers: &[Header]) -> Vec<(String, Selection)> {
    let mut layers = Vec::new();
    for (part, header) in headers.iter().enumerate() {
        let name = header.own_attributes.layer_name.as_ref().map(ToString::to_string);
        let mut prefixes: Vec<String> = Vec::new();
        for channel in &header.channels.list {
            let channel = channel.name.to_string();
            let prefix = channel.rfind('.').map_or("", |dot| &channel[..=dot]).to_owned();
            if !prefixes.contains(&prefix) {
                prefixes.push(prefix);
            }
        }
        // Channels without a layer are what a viewer shows first.
        prefixes.sort_by_key(|prefix| !prefix.is_empty());
        for prefix in prefixes {
            if let Some(selection) = select_in(header, part, &prefix) {
                let layer = prefix.trim_end_matches('.');
                let name = match (&name, layer) {
                    (name, "") => name.clone().unwrap_or_default(),
                    (Some(name), layer) if headers.len() > 1 => format!("{name}.{layer}"),
                    (_, layer) => layer.to_owned(),
                };
                layers.push((name, selection));
            }
        }
    }
    layers
}

fn select(headers: &[Header], layer: Option<&str>) -> Result<Selection, Trouble> {
    let all = layers(headers);
    let found = match layer {
        // The first part's own colours, else the first layer.
        None => all.first(),
        Some(wanted) => all.iter().find(|(name, _)| name == wanted),
    };
    found
        .map(|(_, selection)| *selection)
        .ok_or_else(|| Trouble::NoLayer {
            layer: layer.unwrap_or("RGB").to_owned(),
            known: all
                .into_iter()
                .map(|(name, _)| name)
                .filter(|name| !name.is_empty())
                .collect(),
        })
}

/// The pixels of a layer of a file whose facts were read, placed in its display window.
pub(crate) fn read_layer(path: &Path, facts: &ImageFacts, layer: Option<&str>) -> Result<Layer, Trouble> {
    let reader = open(path)?;
    let selection = select(reader.headers(), layer)?;
    let header = reader.headers()[selection.part].clone();
    let keep = |_: &MetaData, tile: TileCoordinates, block: exr::block::BlockIndex| {
        block.layer == selection.part && tile.level_index == Vec2(0, 0)
    };
    let mut chunks = reader.filter_chunks(true, keep).map_err(trouble)?;
    let (width, height) = size(facts)?;
    let mut pixels = vec![[0.0_f32; 4]; width * height];
    for _ in 0..chunks.expected_chunk_count() {
        let missing = || Trouble::Damaged("it is truncated".to_owned());
        let chunk = chunks.read_next_chunk().ok_or_else(missing)?.map_err(trouble)?;
        if chunk.layer_index != selection.part {
            return Err(Trouble::Damaged(
                "its offset table points to another part".to_owned(),
            ));
        }
        let block = UncompressedBlock::decompress_chunk(chunk, chunks.meta_data(), true).map_err(trouble)?;
        place(&block, &header, &selection, facts.display, &mut pixels);
    }
    Ok(Layer {
        pixels,
        other_primaries: header.shared_attributes.chromaticities.is_some_and(is_other),
    })
}

/// Columns and rows of the display window, which is within the limits.
fn size(facts: &ImageFacts) -> Result<(usize, usize), Trouble> {
    let fits =
        |number: u64| usize::try_from(number).map_err(|_| Trouble::TooLarge(facts.display.to_string()));
    Ok((fits(facts.display.width)?, fits(facts.display.height)?))
}

/// Put the channels of a chunk where they are in the display window.
fn place(
    block: &UncompressedBlock,
    header: &Header,
    selection: &Selection,
    display: Window,
    pixels: &mut [[f32; 4]],
) {
    let origin = header.own_attributes.layer_position;
    let width = usize::try_from(display.width).unwrap_or(usize::MAX);
    let mut values = Vec::new();
    for line in block.lines(&header.channels) {
        let channel = line.location.channel;
        let mut components: Vec<usize> = (0..3).filter(|at| selection.colours[*at] == channel).collect();
        if selection.alpha == Some(channel) {
            components.push(3);
        }
        let opaque = selection.alpha.is_none() && components.contains(&0);
        let row = usize::try_from(along(origin.y(), line.location.position.y()) - display.y);
        let row = row.ok().and_then(|row| pixels.chunks_exact_mut(width).nth(row));
        let Some(row) = row.filter(|_| !components.is_empty()) else {
            continue;
        };
        // What lies left of the frame is passed over, and what lies right of it has no pixel.
        let first = along(origin.x(), line.location.position.x()) - display.x;
        let passed = usize::try_from(first.saturating_neg()).unwrap_or(0);
        let Some(row) = row.get_mut(usize::try_from(first).unwrap_or(0)..) else {
            continue;
        };
        numbers(line.value, header.channels.list[channel].sample_type, &mut values);
        for (pixel, value) in row.iter_mut().zip(values.iter().skip(passed)) {
            for component in &components {
                pixel[*component] = *value;
            }
            if opaque {
                pixel[3] = 1.0;
            }
        }
    }
}

/// The values of a line; whole numbers are shown as brightness.
fn numbers(line: &[u8], kind: SampleType, values: &mut Vec<f32>) {
    let four = |bytes: &[u8]| [bytes[0], bytes[1], bytes[2], bytes[3]];
    values.clear();
    match kind {
        SampleType::F16 => values.extend(
            line.chunks_exact(2)
                .map(|bytes| f16::from_bits(u16::from_ne_bytes([bytes[0], bytes[1]])).to_f32()),
        ),
        SampleType::F32 => {
            values.extend(line.chunks_exact(4).map(|bytes| f32::from_ne_bytes(four(bytes))));
        }
        #[expect(clippy::cast_precision_loss, reason = "the nearest there is")]
        SampleType::U32 => {
            values.extend(
                line.chunks_exact(4)
                    .map(|bytes| u32::from_ne_bytes(four(bytes)) as f32),
            );
        }
    }
}
