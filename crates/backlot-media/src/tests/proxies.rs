//! Proxies: values, sizes, the same bytes, and what is left when a frame is damaged.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use backlot_core::{Context, Diagnostic as _};
use exr::image::{Image, Layer, SpecificChannels};
use exr::math::Vec2;
use exr::meta::header::LayerAttributes;
use exr::prelude::{Encoding as ExrEncoding, Layers, WritableImage as _};
use fs_err as fs;
use image::{DynamicImage, Rgba, RgbaImage};

use super::{Exr, detail, frames, named};
use crate::{Alpha, Encoding, Error, Limits, Look, ProxyOptions, ProxyReport, Size, make_proxies};

fn options(output: &Path) -> ProxyOptions {
    ProxyOptions {
        output: output.to_path_buf(),
        encoding: Encoding::Png,
        look: Look::default(),
        size: Size::Original,
        limits: Limits::default(),
        dry_run: false,
    }
}

fn make(folder: &Path, name: &str, options: &ProxyOptions) -> Result<ProxyReport, Error> {
    make_proxies(&Context::default(), &named(folder, name), options)
}

/// One frame through a proxy, with its values.
fn shown(write: impl Fn(&Path), look: Look) -> RgbaImage {
    let folder = tempfile::tempdir().expect("a folder");
    write(&folder.path().join("f.0001.exr"));
    let options = ProxyOptions {
        look,
        ..options(&folder.path().join("out"))
    };
    make(folder.path(), "f.####.exr", &options).expect("made");
    image::open(folder.path().join("out/f.0001.png"))
        .expect("opened")
        .into_rgba8()
}

fn stops(exposure: f64) -> Look {
    Look {
        exposure,
        ..Look::default()
    }
}

#[test]
fn values_are_those_of_srgb_at_every_exposure() {
    let grey = |path: &Path| Exr::default().write(path, |x, _| [[0.18, 0.5, 1.0, 0.0][x % 4]; 4]);
    // Computed with Python: round(255 * (1.055 * l ** (1 / 2.4) - 0.055)).
    for (exposure, values) in [
        (0.0, [118, 188, 255, 0]),
        (1.0, [162, 255, 255, 0]),
        (2.0, [221, 255, 255, 0]),
        (-1.0, [85, 137, 188, 0]),
        (-2.0, [60, 99, 137, 0]),
        (-4.0, [27, 49, 71, 0]),
    ] {
        let picture = shown(grey, stops(exposure));
        for (x, value) in (0..4).zip(values) {
            assert_eq!(
                picture.get_pixel(x, 3),
                &Rgba([value, value, value, 255]),
                "{exposure} {x}"
            );
        }
    }
}

#[test]
fn what_no_display_shows_is_black_or_white() {
    let odd = |path: &Path| {
        Exr::default().write(path, |x, _| {
            [[f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -3.0, 60_000.0][x % 5]; 4]
        });
    };
    let picture = shown(odd, Look::default());
    let values: Vec<u8> = (0..5).map(|x| picture.get_pixel(x, 0)[0]).collect();
    assert_eq!(values, [0, 255, 0, 0, 255]);
}

#[test]
fn a_data_window_lies_in_its_display_window() {
    let cropped = |path: &Path| {
        let exr = Exr {
            size: (6, 4),
            position: (-2, 5),
            display: Some(((0, 0), (8, 8))),
            ..Exr::default()
        };
        exr.write(path, |x, y| {
            [
                if x == 2 { 1.0 } else { 0.0 },
                if y == 0 { 1.0 } else { 0.0 },
                0.0,
                1.0,
            ]
        });
    };
    let picture = shown(cropped, Look::default());
    assert_eq!(picture.dimensions(), (8, 8));
    // Column 2 of the data is column 0 of the frame, its row 0 the row 5; below and above is nothing.
    assert_eq!(picture.get_pixel(0, 5), &Rgba([255, 255, 0, 255]));
    assert_eq!(picture.get_pixel(0, 6), &Rgba([255, 0, 0, 255]));
    assert_eq!(picture.get_pixel(1, 5), &Rgba([0, 255, 0, 255]));
    assert_eq!(picture.get_pixel(3, 5), &Rgba([0, 255, 0, 255]));
    assert_eq!(picture.get_pixel(4, 5), &Rgba([0, 0, 0, 255]));
    assert_eq!(picture.get_pixel(0, 4), &Rgba([0, 0, 0, 255]));
}

#[test]
fn alpha_is_composited_dropped_or_kept() {
    // EXR has premultiplied colours: half transparent white is 0.5.
    let half =
        |path: &Path| Exr::default().write(path, |x, _| [[0.5, 0.5, 0.5, 0.5], [0.0, 0.0, 0.0, 0.0]][x % 2]);
    let look = |alpha| Look {
        alpha,
        ..Look::default()
    };
    for alpha in [Alpha::Composite, Alpha::Drop] {
        assert_eq!(
            shown(half, look(alpha)).get_pixel(0, 0),
            &Rgba([188, 188, 188, 255]),
            "{alpha:?}"
        );
    }
    let kept = shown(half, look(Alpha::Keep));
    assert_eq!(
        (kept.get_pixel(0, 0), kept.get_pixel(1, 0)),
        (&Rgba([255, 255, 255, 128]), &Rgba([0, 0, 0, 0]))
    );
    // PNG has colours that are not.
    let straight = |path: &Path| {
        let image = RgbaImage::from_pixel(4, 4, Rgba([200, 100, 0, 128]));
        image
            .save_with_format(path, image::ImageFormat::Png)
            .expect("written");
    };
    // Computed with Python: linear light times 128 / 255, encoded again.
    assert_eq!(
        shown(straight, look(Alpha::Composite)).get_pixel(0, 0),
        &Rgba([147, 72, 0, 255])
    );
    assert_eq!(
        shown(straight, look(Alpha::Drop)).get_pixel(0, 0),
        &Rgba([200, 100, 0, 255])
    );
    assert_eq!(
        shown(straight, look(Alpha::Keep)).get_pixel(0, 0),
        &Rgba([200, 100, 0, 128])
    );
}

#[test]
fn pictures_that_are_encoded_already_keep_their_values() {
    let ramp = RgbaImage::from_fn(16, 16, |x, y| {
        let value = u8::try_from(y * 16 + x).expect("a byte");
        Rgba([value, 255 - value, value / 2, 255])
    });
    let as_png = |path: &Path| {
        ramp.save_with_format(path, image::ImageFormat::Png)
            .expect("written");
    };
    assert_eq!(shown(as_png, Look::default()), ramp);
    let as_tiff = |path: &Path| {
        ramp.save_with_format(path, image::ImageFormat::Tiff)
            .expect("written");
    };
    assert_eq!(shown(as_tiff, Look::default()), ramp);
    let deep = DynamicImage::ImageRgba8(ramp.clone()).into_rgba16();
    let as_16_bit = |path: &Path| {
        deep.save_with_format(path, image::ImageFormat::Png)
            .expect("written");
    };
    assert_eq!(shown(as_16_bit, Look::default()), ramp);
    // Floats are linear.
    let float = DynamicImage::ImageRgb32F(image::Rgb32FImage::from_pixel(4, 4, image::Rgb([0.18, 0.5, 7.0])));
    let as_float = |path: &Path| {
        float
            .save_with_format(path, image::ImageFormat::Tiff)
            .expect("written");
    };
    assert_eq!(
        shown(as_float, Look::default()).get_pixel(1, 1),
        &Rgba([118, 188, 255, 255])
    );
}

#[test]
fn layers_are_found_by_part_and_by_channels() {
    let folder = tempfile::tempdir().expect("a folder");
    let flat = |name: &str, value: f32| {
        let channels = SpecificChannels::rgb(move |_: Vec2<usize>| (value, value, value));
        Layer::new(
            (8, 8),
            LayerAttributes::named(name),
            ExrEncoding::FAST_LOSSLESS,
            channels,
        )
    };
    let layers: Layers<_> = [flat("beauty", 1.0), flat("shadow", 0.18)].into_iter().collect();
    let image = Image::from_layers(exr::meta::header::ImageAttributes::with_size((8, 8)), layers);
    image
        .write()
        .non_parallel()
        .to_file(folder.path().join("parts.1.exr"))
        .expect("written");
    let names = [
        ("R", 0.5),
        ("G", 0.5),
        ("B", 0.5),
        ("spec.R", 0.18),
        ("spec.G", 0.18),
        ("spec.B", 0.18),
        ("Z", 9.0),
    ];
    Exr::default().write_flat(&folder.path().join("names.1.exr"), &names);
    Exr::default().write_flat(&folder.path().join("grey.1.exr"), &[("Y", 0.18)]);
    Exr::default().write_flat(&folder.path().join("depth.1.exr"), &[("Z", 0.18)]);
    let value = |name: &str, layer: Option<&str>| -> Result<u8, Error> {
        let mut options = options(&folder.path().join("out"));
        options.look.layer = layer.map(ToOwned::to_owned);
        make(folder.path(), &format!("{name}.#.exr"), &options)?;
        let path = folder.path().join(format!("out/{name}.1.png"));
        Ok(image::open(path).expect("opened").into_rgba8().get_pixel(0, 0)[0])
    };
    assert_eq!(value("parts", None).expect("shown"), 255);
    assert_eq!(value("parts", Some("shadow")).expect("shown"), 118);
    assert_eq!(value("names", None).expect("shown"), 188);
    assert_eq!(value("names", Some("spec")).expect("shown"), 118);
    assert_eq!(value("grey", None).expect("shown"), 118);
    let error = value("parts", Some("diffuse")).expect_err("no such layer");
    assert_eq!(error.code(), "media::no_layer");
    assert!(
        error.help().expect("help").ends_with("beauty, shadow"),
        "{:?}",
        error.help()
    );
    assert_eq!(
        value("depth", None).expect_err("no colours").code(),
        "media::no_layer"
    );
}

/// The files of a folder with their bytes.
fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files: Vec<(PathBuf, Vec<u8>)> = fs::read_dir(folder)
        .expect("listed")
        .map(|entry| entry.expect("an entry").path())
        .map(|path| {
            (
                path.file_name().expect("a name").into(),
                fs::read(&path).expect("read"),
            )
        })
        .collect();
    files.sort();
    files
}

#[test]
fn the_same_frames_give_the_same_bytes_whatever_the_number_of_threads() {
    let folder = tempfile::tempdir().expect("a folder");
    let exr = Exr {
        size: (120, 70),
        ..Exr::default()
    };
    for number in 1..=12 {
        exr.write(&folder.path().join(format!("f.{number:04}.exr")), |x, y| {
            detail(x + number, y)
        });
    }
    for (encoding, digest) in [
        (
            Encoding::Jpeg(90),
            "9367ad8023da9312b395f33b44b1a7684ef33a8143f2914e5c12a50e61a321e0",
        ),
        (
            Encoding::Png,
            "2d8b7ca2703cdba376a5492383036a8ba2cb3da3306734ec5c433187f7f04684",
        ),
    ] {
        let with = |jobs: usize, memory: u64| {
            let out = folder
                .path()
                .join(format!("out-{jobs}-{memory}-{}", encoding.extension()));
            let mut options = ProxyOptions {
                encoding,
                size: Size::Width(50),
                ..options(&out)
            };
            options.limits.jobs = NonZeroUsize::new(jobs);
            options.limits.memory = memory;
            let report = make(folder.path(), "f.####.exr", &options).expect("made");
            assert_eq!(
                (report.written, report.unchanged, report.size),
                (12, 0, Some([50, 29]))
            );
            assert_eq!(
                make(folder.path(), "f.####.exr", &options)
                    .expect("made")
                    .unchanged,
                12
            );
            files(&out)
        };
        let one = with(1, 1 << 30);
        assert_eq!(one.len(), 12);
        // With memory for one frame at a time they wait for each other.
        for (jobs, memory) in [(2, 1 << 30), (8, 1 << 30), (8, 1)] {
            assert_eq!(with(jobs, memory), one, "{jobs}");
        }
        let all = one
            .iter()
            .flat_map(|(_, bytes)| bytes.iter().copied())
            .collect::<Vec<u8>>();
        // Other bytes would make every run cache of a studio miss: only with a reason.
        assert_eq!(blake3::hash(&all).to_hex().as_str(), digest, "{encoding:?}");
    }
}

#[test]
fn a_damaged_frame_is_named_and_all_others_are_written_whole() {
    let folder = tempfile::tempdir().expect("a folder");
    frames(folder.path(), 1..=6, 0.5);
    for number in [3, 5] {
        let path = folder.path().join(format!("beauty.{number:04}.exr"));
        let bytes = fs::read(&path).expect("read");
        fs::write(&path, &bytes[..bytes.len() - 20]).expect("written");
    }
    let out = folder.path().join("out");
    let error = make(folder.path(), "beauty.####.exr", &options(&out)).expect_err("damaged");
    assert_eq!(error.code(), "media::damaged");
    let message = error.to_string();
    assert!(
        message.contains("beauty.0003.exr` is damaged: it is truncated (1 frame more failed)"),
        "{message}"
    );
    let names: Vec<String> = files(&out)
        .into_iter()
        .map(|(name, _)| name.display().to_string())
        .collect();
    assert_eq!(
        names,
        [1, 2, 4, 6].map(|number| format!("beauty.{number:04}.png"))
    );
}

#[test]
fn inputs_are_never_overwritten_and_outputs_never_twice() {
    let folder = tempfile::tempdir().expect("a folder");
    for name in ["a.1.png", "b/c.1.png", "c.1.png", "c.2.png"] {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        image::GrayImage::new(4, 4).save(path).expect("written");
    }
    let before = files(&folder.path().join("b"));
    let error = make(folder.path(), "a.#.png", &options(folder.path())).expect_err("over the input");
    assert_eq!(error.code(), "media::over_input");
    let sequences = crate::find(&["b", "c.#.png"].map(PathBuf::from), folder.path()).expect("found");
    let out = folder.path().join("out");
    let error = make_proxies(&Context::default(), &sequences, &options(&out)).expect_err("twice");
    assert_eq!(error.code(), "media::same_output");
    assert!(!out.exists());
    assert_eq!(files(&folder.path().join("b")), before);
    let missing = make(folder.path(), "c.1-4.png", &options(&out)).expect_err("missing");
    assert_eq!(
        (missing.code(), missing.to_string().as_str()),
        ("media::missing_frames", "`c.#.png` has no frames 3-4")
    );
}

#[test]
fn a_dry_run_writes_nothing_and_images_of_others_are_told() {
    let folder = tempfile::tempdir().expect("a folder");
    frames(folder.path(), 1..=3, 0.5);
    let out = folder.path().join("out");
    let dry = ProxyOptions {
        dry_run: true,
        ..options(&out)
    };
    let report = make(folder.path(), "beauty.####.exr", &dry).expect("planned");
    assert_eq!((report.written, report.dry_run, out.exists()), (3, true, false));
    fs::create_dir(&out).expect("made");
    fs::write(out.join("beauty.0009.png"), b"old").expect("written");
    fs::write(out.join("notes.txt"), b"mine").expect("written");
    let context = Context::default();
    let sequences = named(folder.path(), "beauty.####.exr");
    let report = make_proxies(&context, &sequences, &options(&out)).expect("made");
    assert_eq!(
        (report.others, context.warnings()),
        (vec!["beauty.0009.png".to_owned()], 1)
    );
    assert_eq!(fs::read(out.join("beauty.0009.png")).expect("read"), b"old");
}

#[test]
fn options_that_cannot_be_are_refused_before_anything_is_read() {
    let folder = tempfile::tempdir().expect("a folder");
    frames(folder.path(), 1..=1, 0.5);
    let out = folder.path().join("out");
    let keep = Look {
        alpha: Alpha::Keep,
        ..Look::default()
    };
    for (encoding, look, size) in [
        (Encoding::Jpeg(90), keep, Size::Original),
        (Encoding::Jpeg(0), Look::default(), Size::Original),
        (Encoding::Png, stops(f64::NAN), Size::Original),
        (Encoding::Png, stops(1000.0), Size::Original),
        (Encoding::Png, Look::default(), Size::Width(0)),
        (Encoding::Png, Look::default(), Size::Scale(-1.0)),
    ] {
        let wrong = ProxyOptions {
            encoding,
            look,
            size,
            ..options(&out)
        };
        let error = make(folder.path(), "beauty.####.exr", &wrong).expect_err("refused");
        assert_eq!(error.code(), "media::bad_option");
    }
    let huge = ProxyOptions {
        size: Size::Width(100_000),
        ..options(&out)
    };
    let error = make(folder.path(), "beauty.####.exr", &huge).expect_err("too large");
    assert_eq!(error.code(), "media::too_large");
    assert!(!out.exists());
}
