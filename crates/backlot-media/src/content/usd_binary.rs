//! USD as binary (`PXR-USDC`): its sections, and the asset paths in its fields.
//!
//! A layer has a table of sections at its end: tokens (texts), strings (indices of tokens), and fields, each with the index of its name and a value, which is in place or
//! says where it lies. Read are values that have asset paths: assets and lists of them, sublayers, references, payloads, dictionaries, samples over time. Source: `crateFile.cpp`
//! and `crateDataTypes.h` of Pixar's USD. Invariants: what is decoded is bounded by the file, values are counted, and nest only so deep. Deliberately absent: geometry, paths, specs, and
//! layers from before version 0.4 (2017), of which sections are checked and no more.

use super::bytes::{Bytes, Source};
use super::scene::SceneReference;
use super::{damaged, lz4};
use crate::error::Trouble;

/// The sections of a layer, each 32 bytes in its table.
const MOST_SECTIONS: u64 = 1000;
/// The most bytes that a section has when it is decoded.
const MOST_DECODED: u64 = 1 << 30;
/// A byte of LZ4 stands for no more bytes than this.
const LZ4_RATIO: u64 = 255;
/// The most values that are read.
const MOST_VALUES: u64 = 10_000_000;
/// The most dictionaries in each other.
const DEEPEST: usize = 64;

// Types of values.
const STRING: u64 = 10;
const ASSET: u64 = 12;
const DICTIONARY: u64 = 31;
const REFERENCES: u64 = 35;
const TIME_SAMPLES: u64 = 46;
const PAYLOAD: u64 = 47;
const STRINGS: u64 = 50;
const VALUE: u64 = 52;
const PAYLOADS: u64 = 55;

/// The asset paths of a layer.
pub(super) fn read(source: &mut Source) -> Result<Vec<SceneReference>, Trouble> {
    let head = source.read(0, 24)?;
    let version = (head[8], head[9], head[10]);
    let sections = sections(source, Bytes(&head[16..]).u64_le()?)?;
    if version < (0, 4, 0) {
        return Ok(Vec::new());
    }
    if version.0 > 0 {
        return Err(Trouble::Unsupported(format!(
            "version {}.{} of binary USD",
            version.0, version.1
        )));
    }
    let find = |name: &str| {
        let section = sections.iter().find(|section| section.name == name);
        section.ok_or_else(|| damaged(format!("it has no section {name}")))
    };
    let tokens = tokens(source, find("TOKENS")?)?;
    let strings = strings(source, find("STRINGS")?)?;
    let fields = fields(source, find("FIELDS")?)?;
    let mut values = Values {
        source,
        version,
        tokens: tokens.split(|byte| *byte == 0).collect(),
        strings,
        found: Vec::new(),
        read: 0,
    };
    for (name, value) in fields {
        let name = values.token(name)?;
        let field = Field {
            is_sublayers: name == "subLayers",
            name,
        };
        values.value(&field, value, 0)?;
    }
    Ok(values.found)
}

struct Section {
    name: String,
    at: u64,
    size: u64,
}

/// The table of sections, all of which are within the file.
fn sections(source: &mut Source, table: u64) -> Result<Vec<Section>, Trouble> {
    let count = Bytes(&source.read(table, 8)?).u64_le()?;
    if count == 0 || count > MOST_SECTIONS {
        return Err(damaged(format!("its table says {count} sections")));
    }
    let rows = source.read(table + 8, 32 * count)?;
    let mut sections = Vec::new();
    for row in rows.chunks_exact(32) {
        let (name, mut place) = (row[..16].split(|byte| *byte == 0).next(), Bytes(&row[16..]));
        let (at, size) = (place.u64_le()?, place.u64_le()?);
        if at.checked_add(size).is_none_or(|end| end > source.size) {
            return Err(damaged("it is truncated: a section is past its end"));
        }
        let name = String::from_utf8_lossy(name.unwrap_or_default()).into_owned();
        sections.push(Section { name, at, size });
    }
    Ok(sections)
}

/// What USD's fast compression made: a count of blocks and they with their sizes, or one block after a zero.
fn decompressed(bytes: &[u8], size: u64) -> Result<Vec<u8>, Trouble> {
    if size > MOST_DECODED || size > LZ4_RATIO.saturating_mul(bytes.len() as u64) {
        return Err(damaged(format!(
            "a section of {} bytes declares {size}",
            bytes.len()
        )));
    }
    let size = usize::try_from(size).map_err(|_| damaged("a part is too long"))?;
    let (blocks, rest) = bytes.split_first().ok_or_else(|| damaged("a part is empty"))?;
    let mut out = Vec::new();
    if *blocks == 0 {
        out = lz4::decode(rest, size)?;
    } else {
        let mut rest = Bytes(rest);
        for _ in 0..*blocks {
            let length = rest.u32_le()? as usize;
            out.extend(lz4::decode(rest.take(length)?, size - out.len())?);
        }
    }
    if out.len() != size {
        return Err(damaged("a compressed section is shorter than declared"));
    }
    Ok(out)
}

/// The texts of a layer, each with a zero behind it.
fn tokens(source: &mut Source, section: &Section) -> Result<Vec<u8>, Trouble> {
    let head = source.read(section.at, 24.min(section.size))?;
    let mut head = Bytes(&head);
    let (_, size, stored) = (head.u64_le()?, head.u64_le()?, head.u64_le()?);
    if stored > section.size - 24 {
        return Err(damaged("its tokens are longer than their section"));
    }
    decompressed(&source.read(section.at + 24, stored)?, size)
}

/// The strings: which token each is.
fn strings(source: &mut Source, section: &Section) -> Result<Vec<u32>, Trouble> {
    if section.size > MOST_DECODED {
        return Err(Trouble::TooLarge(format!("{} bytes of strings", section.size)));
    }
    let bytes = source.read(section.at, section.size)?;
    let mut bytes = Bytes(&bytes);
    let count = bytes.u64_le()?;
    let mut strings = Vec::new();
    for _ in 0..count {
        strings.push(bytes.u32_le()?);
    }
    Ok(strings)
}

/// The fields: which token names each, and its value.
fn fields(source: &mut Source, section: &Section) -> Result<Vec<(u32, u64)>, Trouble> {
    if section.size > MOST_DECODED {
        return Err(Trouble::TooLarge(format!("{} bytes of fields", section.size)));
    }
    let bytes = source.read(section.at, section.size)?;
    let mut bytes = Bytes(&bytes);
    let count = bytes.u64_le()?;
    if count > MOST_VALUES {
        return Err(Trouble::TooLarge(format!("{count} fields")));
    }
    if count == 0 {
        return Ok(Vec::new());
    }
    let mut part = |size: u64| {
        let stored = usize::try_from(bytes.u64_le()?).unwrap_or(usize::MAX);
        let stored = bytes.take(stored)?;
        // Of integers only the most is known.
        let most = size.min(LZ4_RATIO.saturating_mul(stored.len() as u64));
        Ok::<_, Trouble>((stored, most))
    };
    let (names, most) = part(count.saturating_mul(5) + 16)?;
    let names = integers(names, most, count)?;
    let (values, _) = part(8 * count)?;
    let values = decompressed(values, 8 * count)?;
    let values = values.chunks_exact(8).map(|value| Bytes(value).u64_le());
    names
        .into_iter()
        .zip(values)
        .map(|(name, value)| Ok((name, value?)))
        .collect()
}

/// Integers as USD packs them: the most frequent difference, two bits for each that say how long its difference is, and the differences.
fn integers(bytes: &[u8], most: u64, count: u64) -> Result<Vec<u32>, Trouble> {
    let most = usize::try_from(most).map_err(|_| damaged("a part is too long"))?;
    let (blocks, rest) = bytes.split_first().ok_or_else(|| damaged("a part is empty"))?;
    if *blocks != 0 {
        return Err(Trouble::TooLarge("integers in several blocks".to_owned()));
    }
    let packed = lz4::decode(rest, most)?;
    let mut packed = Bytes(&packed);
    let usual = i32::from_le_bytes(packed.array()?);
    let count = usize::try_from(count).map_err(|_| damaged("a part is too long"))?;
    let codes = packed.take(count.div_ceil(4))?;
    let (mut sum, mut all) = (0_i32, Vec::with_capacity(count));
    for at in 0..count {
        let difference = match codes[at / 4] >> (2 * (at % 4)) & 3 {
            0 => usual,
            1 => i32::from(i8::from_le_bytes(packed.array()?)),
            2 => i32::from(i16::from_le_bytes(packed.array()?)),
            _ => i32::from_le_bytes(packed.array()?),
        };
        sum = sum.wrapping_add(difference);
        all.push(sum.cast_unsigned());
    }
    Ok(all)
}

/// The field that values are of.
struct Field {
    name: String,
    is_sublayers: bool,
}

/// Reads values that may have asset paths.
struct Values<'a> {
    source: &'a mut Source,
    version: (u8, u8, u8),
    tokens: Vec<&'a [u8]>,
    strings: Vec<u32>,
    found: Vec<SceneReference>,
    read: u64,
}

impl Values<'_> {
    fn token(&self, index: u32) -> Result<String, Trouble> {
        let token = self.tokens.get(index as usize);
        let token = token.ok_or_else(|| damaged(format!("it has no token {index}")))?;
        Ok(String::from_utf8_lossy(token).into_owned())
    }

    fn note(&mut self, field: &Field, path: String) {
        if !path.is_empty() {
            self.found.push(SceneReference {
                place: field.name.clone(),
                path,
                bytes: None,
            });
        }
    }

    fn note_string(&mut self, field: &Field, index: u32) -> Result<(), Trouble> {
        let token = self.strings.get(index as usize).copied();
        let token = token.ok_or_else(|| damaged(format!("it has no string {index}")))?;
        let path = self.token(token)?;
        self.note(field, path);
        Ok(())
    }

    /// Bytes at a place, which is moved behind them.
    fn take<const N: usize>(&mut self, at: &mut u64) -> Result<[u8; N], Trouble> {
        self.read += 1;
        if self.read > MOST_VALUES {
            return Err(Trouble::TooLarge(format!("more than {MOST_VALUES} values")));
        }
        let bytes = self.source.read(*at, N as u64)?;
        *at += N as u64;
        Bytes(&bytes).array()
    }

    fn u32(&mut self, at: &mut u64) -> Result<u32, Trouble> {
        self.take(at).map(u32::from_le_bytes)
    }

    fn u64(&mut self, at: &mut u64) -> Result<u64, Trouble> {
        self.take(at).map(u64::from_le_bytes)
    }

    /// The place that is so far from this one, which is moved behind the distance.
    fn jump(&mut self, at: &mut u64) -> Result<u64, Trouble> {
        let begin = *at;
        let distance = i64::from_le_bytes(self.take(at)?);
        // Only forwards, or what is read would never end.
        let distance = u64::try_from(distance).ok().filter(|distance| *distance >= 8);
        let target = distance.and_then(|distance| begin.checked_add(distance));
        target.ok_or_else(|| damaged("a value has a negative offset"))
    }

    /// A value: its type and flags in the upper 16 bits, and what it is, or where it lies.
    fn value(&mut self, field: &Field, value: u64, depth: usize) -> Result<(), Trouble> {
        let (kind, place) = (value >> 48 & 0xff, value & ((1 << 48) - 1));
        let (is_array, is_inline) = (value >> 63 == 1, value >> 62 & 1 == 1);
        if depth > DEEPEST {
            return Err(Trouble::TooLarge(format!(
                "more than {DEEPEST} values in each other"
            )));
        }
        let mut at = place;
        match kind {
            ASSET if is_array => self.assets(field, at),
            ASSET if is_inline => {
                let index = u32::try_from(place & 0xffff_ffff).unwrap_or(u32::MAX);
                let path = self.token(index)?;
                self.note(field, path);
                Ok(())
            }
            ASSET => {
                let index = self.u32(&mut at)?;
                let path = self.token(index)?;
                self.note(field, path);
                Ok(())
            }
            STRINGS if field.is_sublayers => {
                for _ in 0..self.u64(&mut at)? {
                    let index = self.u32(&mut at)?;
                    self.note_string(field, index)?;
                }
                Ok(())
            }
            // An empty one is in place.
            DICTIONARY if !is_inline => self.dictionary(field, &mut at, depth + 1),
            REFERENCES | PAYLOADS if !is_inline => self.list(field, kind, at),
            PAYLOAD if !is_inline => self.payload(field, &mut at, true),
            VALUE if !is_inline => {
                let target = self.jump(&mut at)?;
                self.value_at(field, target, depth + 1)
            }
            TIME_SAMPLES if !is_inline => self.samples(field, at, depth + 1),
            _ => Ok(()),
        }
    }

    fn value_at(&mut self, field: &Field, mut at: u64, depth: usize) -> Result<(), Trouble> {
        let value = self.u64(&mut at)?;
        self.value(field, value, depth)
    }

    fn assets(&mut self, field: &Field, mut at: u64) -> Result<(), Trouble> {
        if at == 0 {
            return Ok(());
        }
        if self.version < (0, 5, 0) {
            self.u32(&mut at)?;
        }
        let count = if self.version < (0, 7, 0) {
            u64::from(self.u32(&mut at)?)
        } else {
            self.u64(&mut at)?
        };
        // In place an asset is a token, in a list a string.
        for _ in 0..count {
            let index = self.u32(&mut at)?;
            self.note_string(field, index)?;
        }
        Ok(())
    }

    /// Keys and values; the place is moved behind all of it. Values of other types are passed over by their length.
    fn dictionary(&mut self, field: &Field, at: &mut u64, depth: usize) -> Result<(), Trouble> {
        for _ in 0..self.u64(at)? {
            self.u32(at)?;
            let target = self.jump(at)?;
            self.value_at(field, target, depth)?;
            *at = target + 8;
        }
        Ok(())
    }

    /// Lists of references or payloads: those that are there anyway, added, prepended, appended, deleted, ordered.
    fn list(&mut self, field: &Field, kind: u64, mut at: u64) -> Result<(), Trouble> {
        let [flags] = self.take(&mut at)?;
        for flag in [2, 4, 32, 64, 8, 16] {
            if flags & flag == 0 {
                continue;
            }
            // What is deleted need not be there.
            let counts = flag != 8 && flag != 16;
            for _ in 0..self.u64(&mut at)? {
                if kind == PAYLOADS {
                    self.payload(field, &mut at, counts)?;
                    continue;
                }
                let index = self.u32(&mut at)?;
                if counts {
                    self.note_string(field, index)?;
                }
                // The path of a prim, and an offset in time.
                self.u32(&mut at)?;
                self.take::<16>(&mut at)?;
                self.dictionary(field, &mut at, 1)?;
            }
        }
        Ok(())
    }

    fn payload(&mut self, field: &Field, at: &mut u64, counts: bool) -> Result<(), Trouble> {
        let index = self.u32(at)?;
        if counts {
            self.note_string(field, index)?;
        }
        self.u32(at)?;
        if self.version >= (0, 8, 0) {
            self.take::<16>(at)?;
        }
        Ok(())
    }

    /// Times, and a value for each.
    fn samples(&mut self, field: &Field, mut at: u64, depth: usize) -> Result<(), Trouble> {
        let times = self.jump(&mut at)?;
        let mut at = times + 8;
        let mut values = self.jump(&mut at)?;
        for _ in 0..self.u64(&mut values)? {
            let value = self.u64(&mut values)?;
            // Most samples are numbers, and of one type.
            let kind = value >> 48 & 0xff;
            if kind != ASSET && kind != STRING {
                break;
            }
            self.value(field, value, depth)?;
        }
        Ok(())
    }
}
