//! glTF 2.0, as JSON and binary: valid by its schema and its indices, views within buffers, accessors within views, and the files it needs.
//!
//! The structure is judged by `gltf-json`; places in buffers here. Invariants: the JSON is bounded before it is parsed, and its depth by the parser; sums
//! that overflow are out of bounds. Deliberately absent: values in buffers, extensions, the content of images.

use std::path::Path;

use gltf_json::mesh::Semantic;
use gltf_json::validation::{Checked, Validate as _};
use gltf_json::{Root, accessor, buffer};

use super::bytes::{Bytes, Source};
use super::scene::{SceneFacts, SceneFormat, SceneReference};
use super::{MOST_PROBLEMS, damaged};
use crate::error::Trouble;

/// The most bytes of JSON.
const MOST_JSON: u64 = 256 << 20;

pub(super) fn read(path: &Path) -> Result<SceneFacts, Trouble> {
    let mut source = Source::open(path)?;
    let head = source.read(0, source.size.min(4))?;
    let (at, length, inside) = if head == b"glTF" {
        container(&mut source)?
    } else {
        (0, source.size, None)
    };
    if length > MOST_JSON {
        return Err(Trouble::TooLarge(format!("{length} bytes of JSON")));
    }
    let json = source.read(at, length)?;
    let root = Root::from_slice(&json).map_err(|error| damaged(format!("it is not glTF 2.0: {error}")))?;
    let mut problems = unplaced(&root);
    // It follows these places without a look.
    if problems.is_empty() {
        root.validate(&root, gltf_json::Path::new, &mut |path, error| {
            if problems.len() < MOST_PROBLEMS {
                problems.push(format!("{}: {error}", path()));
            }
        });
    }
    let mut facts = SceneFacts {
        format: SceneFormat::Gltf,
        references: Vec::new(),
        problems,
    };
    buffers(&root, inside, &mut facts);
    images(&root, &mut facts);
    for (index, view) in root.buffer_views.iter().enumerate() {
        if !is_view_inside(&root, view) {
            facts.note(format!("bufferViews[{index}]: it is longer than its buffer"));
        }
    }
    for (index, accessor) in root.accessors.iter().enumerate() {
        if !is_accessor_inside(&root, accessor) {
            facts.note(format!("accessors[{index}]: it is longer than its buffer view"));
        }
    }
    Ok(facts)
}

/// Primitives whose positions are in an accessor that is not there.
fn unplaced(root: &Root) -> Vec<String> {
    let mut problems = Vec::new();
    for (index, mesh) in root.meshes.iter().enumerate() {
        for (number, primitive) in mesh.primitives.iter().enumerate() {
            let positions = primitive.attributes.get(&Checked::Valid(Semantic::Positions));
            if positions.is_some_and(|accessor| accessor.value() >= root.accessors.len())
                && problems.len() < MOST_PROBLEMS
            {
                problems.push(format!(
                    "meshes[{index}].primitives[{number}].attributes[\"POSITION\"]: Index out of bounds"
                ));
            }
        }
    }
    problems
}

impl SceneFacts {
    fn note(&mut self, problem: String) {
        if self.problems.len() < MOST_PROBLEMS {
            self.problems.push(problem);
        }
    }
}

/// Where the JSON of a binary file lies, and how long its buffer is.
fn container(source: &mut Source) -> Result<(u64, u64, Option<u64>), Trouble> {
    let head = source.read(0, 20)?;
    let mut head = Bytes(&head[4..]);
    let (version, length) = (head.u32_le()?, u64::from(head.u32_le()?));
    if version != 2 {
        return Err(Trouble::Unsupported(format!("version {version} of glTF")));
    }
    if length > source.size {
        let size = source.size;
        return Err(damaged(format!(
            "it is truncated: it declares {length} bytes, but has {size}"
        )));
    }
    let (json, kind) = (u64::from(head.u32_le()?), head.array::<4>()?);
    if &kind != b"JSON" || 20 + json > length {
        return Err(damaged("its first chunk is not JSON within it"));
    }
    let next = 20 + json;
    if next + 8 > length {
        return Ok((20, json, None));
    }
    let head = source.read(next, 8)?;
    let mut head = Bytes(&head);
    let (size, kind) = (u64::from(head.u32_le()?), head.array::<4>()?);
    if next + 8 + size > length {
        return Err(damaged("it is truncated: its buffer is past its end"));
    }
    Ok((20, json, (&kind == b"BIN\0").then_some(size)))
}

/// Each buffer is in the file, in its own text, or in another file that is long enough.
fn buffers(root: &Root, inside: Option<u64>, facts: &mut SceneFacts) {
    for (index, buffer) in root.buffers.iter().enumerate() {
        let place = format!("buffers[{index}]");
        let wanted = buffer.byte_length.0;
        let there = match &buffer.uri {
            None => inside.filter(|_| index == 0),
            Some(uri) => match data(uri) {
                Some(length) => Some(length),
                None => {
                    refer(facts, place, uri, Some(wanted));
                    continue;
                }
            },
        };
        match there {
            None => facts.note(format!("{place}: it has neither a file nor data")),
            Some(there) if there < wanted => {
                facts.note(format!("{place}: it declares {wanted} bytes, but has {there}"));
            }
            Some(_) => {}
        }
    }
}

fn images(root: &Root, facts: &mut SceneFacts) {
    for (index, image) in root.images.iter().enumerate() {
        match &image.uri {
            Some(uri) if data(uri).is_none() => refer(facts, format!("images[{index}]"), uri, None),
            None if image.buffer_view.is_none() => {
                facts.note(format!("images[{index}]: it has neither a file nor data"));
            }
            _ => {}
        }
    }
}

fn refer(facts: &mut SceneFacts, place: String, uri: &str, bytes: Option<u64>) {
    match unescaped(uri) {
        Some(path) => facts.references.push(SceneReference { place, path, bytes }),
        None => facts.note(format!("{place}: an escape in its URI is wrong")),
    }
}

/// The bytes of a URI that is data itself; `None` of one that is not. In it, four characters stand for three bytes.
fn data(uri: &str) -> Option<u64> {
    let (head, body) = uri.strip_prefix("data:")?.split_once(',')?;
    if !head.ends_with(";base64") {
        return Some(body.len() as u64);
    }
    let characters = body.trim_end_matches('=').len() as u64;
    Some(characters * 3 / 4)
}

/// A URI with `%20` and so on replaced.
fn unescaped(uri: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(uri.len());
    let mut rest = uri.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
        let (high, low) = (digit(rest.next())?, digit(rest.next())?);
        bytes.push(u8::try_from(high * 16 + low).ok()?);
    }
    String::from_utf8(bytes).ok()
}

fn is_view_inside(root: &Root, view: &buffer::View) -> bool {
    let Some(buffer) = root.buffers.get(view.buffer.value()) else {
        // Told by the validation.
        return true;
    };
    let begin = view.byte_offset.map_or(0, |offset| offset.0);
    let end = begin.checked_add(view.byte_length.0);
    end.is_some_and(|end| end <= buffer.byte_length.0)
}

/// Whether all elements are within the view: the last one begins a stride behind the one before it, and needs only its own size.
fn is_accessor_inside(root: &Root, accessor: &accessor::Accessor) -> bool {
    let view = accessor
        .buffer_view
        .and_then(|view| root.buffer_views.get(view.value()));
    let (Some(view), Checked::Valid(component), Checked::Valid(kind)) =
        (view, accessor.component_type, accessor.type_)
    else {
        return true;
    };
    // Columns of matrices begin at multiples of four bytes.
    let (component, count) = (component.0.size() as u64, accessor.count.0);
    let column = |rows: u64| (rows * component).next_multiple_of(4);
    let size = match kind {
        accessor::Type::Mat2 => 2 * column(2),
        accessor::Type::Mat3 => 3 * column(3),
        kind => kind.multiplicity() as u64 * component,
    };
    let stride = view.byte_stride.map_or(size, |stride| stride.0 as u64);
    let begin = accessor.byte_offset.map_or(0, |offset| offset.0);
    let Some(before) = count.checked_sub(1) else {
        return true;
    };
    let end = before
        .checked_mul(stride)
        .and_then(|bytes| bytes.checked_add(begin)?.checked_add(size));
    end.is_some_and(|end| end <= view.byte_length.0)
}
