//! Frames: `frames.readable` decodes every chunk of EXR files, beside the programs of other makers that do.

use std::io;
use std::path::Path;

use exr::prelude::*;
use fs_err as fs;

use crate::Bed;

/// A frame of noise above a gradient, which compresses as rendered frames do.
fn write_frame(path: &Path, (width, height): (usize, usize), number: u64) -> io::Result<()> {
    let mut random = backlot_benches::Random::new(number, 0);
    let noise: Vec<f32> = (0..width)
        .map(|_| f32::from(u8::try_from(random.next() % 256).unwrap_or(0)) / 4096.0)
        .collect();
    let pixel = |position: Vec2<usize>| {
        let (Vec2(x, y), at) = (position, position.x() + position.y());
        let gradient = f32::from(u16::try_from(at).unwrap_or(u16::MAX)) / 4000.0;
        let value = |shift: usize| f16::from_f32(gradient + noise[(x * 7 + y * 13 + shift) % width]);
        (value(0), value(1), value(2), f16::from_f32(1.0))
    };
    let image = Image::from_encoded_channels(
        (width, height),
        Encoding {
            compression: Compression::ZIP16,
            ..Encoding::default()
        },
        SpecificChannels::rgba(pixel),
    );
    image.write().to_file(path).map_err(io::Error::other)
}

pub(crate) fn measure(bed: &mut Bed, place: &Path, small: bool) -> io::Result<()> {
    let (count, size) = if small {
        (4, (320, 240))
    } else {
        (48, (1920, 1080))
    };
    fs::create_dir_all(place)?;
    let cache = place.join("cache").display().to_string();
    let workspace = place.join("w");
    bed.run(place, &["init", "w", "--python", "none", "--cache", &cache])?;
    bed.run(&workspace, &["new", "shot"])?;
    let frames = workspace.join("outputs/shot/src/shot/frames");
    fs::create_dir_all(&frames)?;
    let mut files = Vec::new();
    for number in 1001..1001 + count {
        let path = frames.join(format!("beauty.{number}.exr"));
        write_frame(&path, size, number)?;
        files.push(path.display().to_string());
    }
    let declared = workspace.join("outputs/shot/src/shot/asset.toml");
    let text = fs::read_to_string(&declared)?;
    fs::write(
        &declared,
        format!("{text}\n[[backlot.validate]]\nid = \"frames.readable\"\n"),
    )?;
    bed.run(&workspace, &["add", &frames.display().to_string()])?;
    let of = format!("{count} frames {}x{}, RGBA half, ZIP", size.0, size.1);
    let known = place.join("cache/checks");
    let own = bed.command(&workspace, &["validate", "shot"]);
    let samples = bed.samples(&own, || {
        // What is known of unchanged files is not checked again.
        if known.exists() {
            fs::remove_dir_all(&known)?;
        }
        Ok(())
    })?;
    bed.note(&format!("{of}: backlot validate"), samples, None);
    for (program, before) in [("exrcheck", &[][..]), ("oiiotool", &["--hash"])] {
        let Some(found) = bed.environment.find(program) else {
            continue;
        };
        let arguments: Vec<&str> = before
            .iter()
            .copied()
            .chain(files.iter().map(String::as_str))
            .collect();
        let command = bed
            .bench
            .command(&found, &arguments, place, &bed.environment.path);
        let samples = bed.samples(&command, || Ok(()))?;
        bed.note(&format!("{of}: {program}"), samples, None);
    }
    Ok(())
}
