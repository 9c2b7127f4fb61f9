//! Movies and scenes, whole and damaged. The files are written here, byte by byte.

use std::path::{Path, PathBuf};

use fs_err as fs;

use crate::{FileProblem, MovieFacts, SceneFacts, SceneFormat, read_movie, read_scene};

/// A box of a movie.
fn atom(kind: &str, parts: &[&[u8]]) -> Vec<u8> {
    let body = parts.concat();
    let size = u32::try_from(body.len() + 8).expect("small");
    [&size.to_be_bytes()[..], kind.as_bytes(), &body].concat()
}

fn numbers(list: &[u32]) -> Vec<u8> {
    list.iter().flat_map(|number| number.to_be_bytes()).collect()
}

/// A movie of `frames` frames of 1001/24000 s, 1920 x 1080, whose samples lie behind the header.
fn movie(frames: u32, offset: u32) -> Vec<u8> {
    let media_header = atom("mdhd", &[&numbers(&[0, 0, 0, 24_000, frames * 1001, 0])]);
    let handler = atom("hdlr", &[&numbers(&[0, 0]), b"vide", &[0; 12], b"\0"]);
    let mut entry = vec![0; 24];
    entry.extend([1920_u16.to_be_bytes(), 1080_u16.to_be_bytes()].concat());
    entry.extend([0; 50]);
    let description = atom("stsd", &[&numbers(&[0, 1]), &atom("avc1", &[&entry])]);
    let times = atom("stts", &[&numbers(&[0, 1, frames, 1001])]);
    let chunks = atom("stco", &[&numbers(&[0, 1, offset])]);
    let table = atom("stbl", &[&description, &times, &chunks]);
    let media = atom("mdia", &[&media_header, &handler, &atom("minf", &[&table])]);
    let sound = atom("hdlr", &[&numbers(&[0, 0]), b"soun", &[0; 12], b"\0"]);
    let sound = atom("trak", &[&atom("mdia", &[&sound])]);
    let movie = atom("moov", &[&sound, &atom("trak", &[&media])]);
    [
        atom("ftyp", &[b"isom\0\0\x02\0"]),
        movie,
        atom("mdat", &[&[7; 100]]),
    ]
    .concat()
}

fn written(bytes: &[u8], name: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join(name);
    fs::write(&path, bytes).expect("written");
    (folder, path)
}

fn movie_of(bytes: &[u8]) -> Result<MovieFacts, FileProblem> {
    let (_folder, path) = written(bytes, "a.mp4");
    read_movie(&path).expect("readable")
}

fn scene_of(bytes: &[u8], name: &str) -> Result<SceneFacts, FileProblem> {
    let (_folder, path) = written(bytes, name);
    read_scene(&path).expect("readable")
}

fn damage<T: std::fmt::Debug>(read: Result<T, FileProblem>) -> String {
    match read {
        Err(FileProblem::Damaged(reason)) => reason,
        other => panic!("not damaged: {other:?}"),
    }
}

#[test]
fn the_header_of_a_movie_says_size_rate_and_length() {
    let facts = movie_of(&movie(48, 300)).expect("a movie");
    assert_eq!(
        (facts.width, facts.height, facts.codec.as_str()),
        (1920, 1080, "avc1")
    );
    assert_eq!((facts.frames, facts.constant), (Some(48), true));
    let fps = facts.fps.expect("a rate");
    assert_eq!((fps.over, fps.under), (24_000, 1001));
    assert!((facts.duration.value() - 2.002).abs() < 1e-9);
}

#[test]
fn movies_that_are_not_whole_are_damaged_with_the_reason() {
    let whole = movie(48, 300);
    assert!(damage(movie_of(&whole[..whole.len() - 1])).contains("truncated: its box `mdat`"));
    assert!(damage(movie_of(&movie(48, 9_999))).contains("past its end"));
    assert_eq!(damage(movie_of(b"")), "it is empty");
    assert!(damage(movie_of(&[0; 64])).contains("does not start"));
    let unfinished = [atom("ftyp", &[b"isom"]), atom("mdat", &[&[7; 50]])].concat();
    assert!(damage(movie_of(&unfinished)).contains("did not finish"));
    // No cut, and no byte that is another, is more than damage.
    let header = whole.len() - 108;
    for cut in 0..header {
        assert!(movie_of(&whole[..cut]).is_err(), "cut at {cut}");
    }
    for at in 0..header {
        let mut other = whole.clone();
        other[at] = 0xff;
        drop(movie_of(&other));
    }
}

#[test]
fn a_movie_header_that_lies_about_counts_is_not_believed() {
    let mut lying = movie(1, 300);
    let at = lying
        .windows(4)
        .position(|four| four == b"stts")
        .expect("a table");
    lying[at + 8..at + 12].copy_from_slice(&u32::MAX.to_be_bytes());
    assert!(damage(movie_of(&lying)).contains("truncated"));
    let empty = atom("free", &[]).repeat(200_000);
    let many = [atom("ftyp", &[b"isom"]), atom("moov", &[&empty])].concat();
    assert!(matches!(movie_of(&many), Err(FileProblem::TooLarge(_))));
}

/// An Ogawa file with these children of its root group.
fn archive(finished: u8, children: &[u64], more: &[u8]) -> Vec<u8> {
    let mut bytes = b"Ogawa".to_vec();
    bytes.extend([finished, 0, 1]);
    bytes.extend(16_u64.to_le_bytes());
    bytes.extend((children.len() as u64).to_le_bytes());
    bytes.extend(children.iter().flat_map(|child| child.to_le_bytes()));
    bytes.extend(more);
    bytes
}

#[test]
fn alembic_archives_are_whole_or_damaged() {
    const DATA: u64 = 1 << 63;
    const PIECE: u64 = DATA | 0x48;
    // After 16 bytes, a count and 6 places of 8: data of 4 bytes at 72, a group of itself at 84.
    let more = [
        &4_u64.to_le_bytes()[..],
        &[1, 2, 3, 4],
        &1_u64.to_le_bytes(),
        &84_u64.to_le_bytes(),
    ]
    .concat();
    let children = [PIECE, PIECE, 84, DATA, 0, PIECE];
    let at = |list: &[u64]| {
        let shift = 72 - (16 + 8 + 8 * list.len() as u64);
        let pad = vec![0; usize::try_from(shift).expect("small")];
        [archive(0xff, list, &pad), more.clone()].concat()
    };
    let whole = at(&children);
    assert_eq!(
        scene_of(&whole, "a.abc").map(|facts| facts.format),
        Ok(SceneFormat::Alembic)
    );
    for cut in 1..whole.len() {
        scene_of(&whole[..cut], "a.abc").expect_err("cut");
    }
    let unfinished = [&whole[..5], &[0], &whole[6..]].concat();
    assert!(damage(scene_of(&unfinished, "a.abc")).contains("did not finish"));
    let endless = at(&[PIECE, 84, 84, u64::MAX, 0, 0]);
    assert!(damage(scene_of(&endless, "a.abc")).contains("truncated"));
    assert!(damage(scene_of(&archive(0xff, &[0; 3], &[]), "a.abc")).contains("root group"));
    let old = scene_of(b"\x89HDF\r\n\x1a\n--------", "a.abc");
    assert!(matches!(old, Err(FileProblem::Unsupported(_))), "{old:?}");
}

/// A triangle in a buffer of 36 bytes that is in another file, with more at the end of the root.
fn triangle(uri: &str, length: u32, more: &str) -> String {
    format!(
        r#"{{"asset": {{"version": "2.0"}}, "buffers": [{{"uri": "{uri}", "byteLength": {length}}}],
        "bufferViews": [{{"buffer": 0, "byteLength": 36}}],
        "accessors": [{{"bufferView": 0, "componentType": 5126, "count": 3, "type": "VEC3", "min": [0, 0, 0], "max": [1, 1, 1]}}],
        "meshes": [{{"primitives": [{{"attributes": {{"POSITION": 0}}}}]}}], "nodes": [{{"mesh": 0}}], "scenes": [{{"nodes": [0]}}]{more}}}"#
    )
}

#[test]
fn gltf_names_its_files_and_what_is_wrong_inside() {
    let facts = scene_of(triangle("a%20b.bin", 36, "").as_bytes(), "a.gltf").expect("a scene");
    assert_eq!(facts.problems, Vec::<String>::new());
    assert_eq!(facts.references[0].path, "a b.bin");
    assert_eq!(facts.references[0].bytes, Some(36));
    let short = scene_of(triangle("a.bin", 35, "").as_bytes(), "a.gltf").expect("a scene");
    assert_eq!(short.problems, ["bufferViews[0]: it is longer than its buffer"]);
    let data = "data:application/octet-stream;base64,AAAA";
    let few = scene_of(triangle(data, 36, "").as_bytes(), "a.gltf").expect("a scene");
    assert_eq!(few.problems, ["buffers[0]: it declares 36 bytes, but has 3"]);
    let more = r#", "scene": 7, "images": [{}]"#;
    let wrong = scene_of(triangle("a.bin", 36, more).as_bytes(), "a.gltf").expect("a scene");
    assert!(
        wrong.problems.iter().any(|problem| problem.contains("scene")),
        "{wrong:?}"
    );
    assert!(
        wrong
            .problems
            .iter()
            .any(|problem| problem.starts_with("images[0]")),
        "{wrong:?}"
    );
    let many = triangle("a.bin", 36, "").replace("\"count\": 3", "\"count\": 4");
    let many = scene_of(many.as_bytes(), "a.gltf").expect("a scene");
    assert_eq!(many.problems, ["accessors[0]: it is longer than its buffer view"]);
    let nowhere =
        br#"{"asset": {"version": "2.0"}, "meshes": [{"primitives": [{"attributes": {"POSITION": 3}}]}]}"#;
    let nowhere = scene_of(nowhere, "a.gltf").expect("a scene");
    assert_eq!(
        nowhere.problems,
        ["meshes[0].primitives[0].attributes[\"POSITION\"]: Index out of bounds"]
    );
    assert!(damage(scene_of(b"{\"asset\": ", "a.gltf")).contains("not glTF"));
    assert!(damage(scene_of("[".repeat(100_000).as_bytes(), "a.gltf")).contains("not glTF"));
}

#[test]
fn binary_gltf_has_its_buffer_or_is_damaged() {
    let json = triangle("", 36, "").replace("\"uri\": \"\", ", "");
    let json = format!("{json:width$}", width = json.len().next_multiple_of(4));
    let chunk = |kind: &[u8; 4], bytes: &[u8]| {
        let size = u32::try_from(bytes.len()).expect("small").to_le_bytes();
        [&size[..], kind, bytes].concat()
    };
    let file = |buffer: usize| {
        let chunks = [chunk(b"JSON", json.as_bytes()), chunk(b"BIN\0", &vec![0; buffer])].concat();
        let length = u32::try_from(chunks.len() + 12).expect("small").to_le_bytes();
        [b"glTF", &2_u32.to_le_bytes()[..], &length, &chunks].concat()
    };
    let whole = file(36);
    let facts = scene_of(&whole, "a.glb").expect("a scene");
    assert_eq!((facts.problems, facts.references.len()), (Vec::new(), 0));
    let few = scene_of(&file(32), "a.glb").expect("a scene");
    assert_eq!(few.problems, ["buffers[0]: it declares 36 bytes, but has 32"]);
    for cut in 0..whole.len() {
        scene_of(&whole[..cut], "a.glb").expect_err("cut");
    }
}

const TEXT: &[u8] = include_bytes!("../../../../fixtures/usd/layer.usda");
const BINARY: &[u8] = include_bytes!("../../../../fixtures/usd/layer.usdc");
const PACKAGE: &[u8] = include_bytes!("../../../../fixtures/usd/package.usdz");
const LACKING: &[u8] = include_bytes!("../../../../fixtures/usd/lacking.usdz");

#[test]
fn a_binary_layer_names_the_same_files_as_the_text_it_was_written_from() {
    let paths = |bytes: &[u8], name: &str| -> Vec<String> {
        let facts = scene_of(bytes, name).expect("a scene");
        assert_eq!(facts.problems, Vec::<String>::new());
        let mut paths: Vec<String> = facts.references.into_iter().map(|one| one.path).collect();
        paths.sort();
        paths
    };
    let text = paths(TEXT, "a.usda");
    assert_eq!(
        text,
        [
            "../table/table.usd",
            "./chair.usdc",
            "./heavy.usd",
            "./sub.usda",
            "a.png",
            "b.png",
            "clip.1.usd",
            "clip.2.usd",
            "deep.txt",
            "doc.pdf",
            "lib/look.usda",
            "manifest.usda",
            "plate.1001.exr",
            "plate.1002.exr",
            "tex/wood.<UDIM>.exr"
        ]
    );
    assert_eq!(paths(BINARY, "a.usdc"), text);
    // A layer is told by its first bytes.
    assert_eq!(paths(BINARY, "a.usd"), text);
}

#[test]
fn binary_layers_that_are_cut_or_lie_are_damaged() {
    for cut in (0..BINARY.len()).step_by(7).chain([BINARY.len() - 1]) {
        scene_of(&BINARY[..cut], "a.usdc").expect_err("cut");
    }
    let table =
        usize::try_from(u64::from_le_bytes(BINARY[16..24].try_into().expect("eight"))).expect("small");
    let mut lying = BINARY.to_vec();
    lying[table..table + 8].copy_from_slice(&u64::MAX.to_le_bytes());
    assert!(damage(scene_of(&lying, "a.usdc")).contains("sections"));
    // The first section are the tokens: they say how long they are when they are decoded.
    let tokens = u64::from_le_bytes(BINARY[table + 24..table + 32].try_into().expect("eight"));
    let at = usize::try_from(tokens).expect("small") + 8;
    let mut lying = BINARY.to_vec();
    lying[at..at + 8].copy_from_slice(&(1_u64 << 40).to_le_bytes());
    assert!(damage(scene_of(&lying, "a.usdc")).contains("bytes declares"));
}

#[test]
fn a_package_has_what_its_layers_name_or_says_what_it_lacks() {
    let facts = scene_of(PACKAGE, "a.usdz").expect("a package");
    assert_eq!((facts.references.len(), facts.problems), (0, Vec::new()));
    let lacking = scene_of(LACKING, "a.usdz").expect("a package");
    assert_eq!(
        lacking.problems,
        [
            "chair.usda: line 5: `tex/a.1001.png` is not in the package",
            "in/own.usda: line 2: `../tex/a.1001.png` is not in the package"
        ]
    );
    for cut in 4..PACKAGE.len() {
        scene_of(&PACKAGE[..cut], "a.usdz").expect_err("cut");
    }
    assert!(damage(scene_of(b"nothing of it", "a.usda")).contains("does not start"));
    assert!(damage(scene_of(b"#usda 1.0\n\xff", "a.usda")).contains("UTF-8"));
}

#[test]
fn a_file_that_is_not_there_is_an_error_and_no_damage() {
    read_movie(Path::new("/nonexistent/a.mp4")).expect_err("nothing there");
    read_scene(Path::new("/nonexistent/a.usd")).expect_err("nothing there");
}
