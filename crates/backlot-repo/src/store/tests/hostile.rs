//! Objects that nobody should have put there: named and passed over, as in folders.

use std::fmt::Write as _;

use backlot_core::Context;

use super::memory::Line;
use super::{BOTH, Scene};
use crate::support::{Wheel, package};

#[test]
fn what_is_wrong_in_a_store_is_named_and_the_rest_is_used() {
    let scene = Scene::new(BOTH[0]);
    scene.publish(Line::good(), "1.0", "ana").unwrap();
    let world = &scene.world;
    let put = |file: &str, bytes: &[u8]| world.put(&format!("packages/chair/{file}"), bytes);
    put("chair-one-py3-none-any.whl", b"x");
    put("table-1.0-py3-none-any.whl", &Wheel::new("table", "1.0").bytes());
    put("chair-1.1-py3-none-any.whl", b"not a zip");
    put("chair-1.2-py3-none-any.whl", &Wheel::new("table", "1.2").bytes());
    put("chair-1.3-py3-none-any.whl", &Wheel::new("chair", "1.3").bytes());
    put("chair-1.3-py3-none-any.whl.json", &vec![b'['; 1 << 20]);
    put("chair-1.3-py3-none-any.whl.metadata", b"Name: evil\n");
    put("chair-1.4.tar.gz", b"x");
    put("chair-1.5.zip", b"x");
    put(".hidden.whl", b"x");
    put("deeper/chair-1.5-py3-none-any.whl", b"x");
    world.put("status/chair/1.0/01JCZ3M4E1ZQ0Q0Q0Q0Q0Q0Q0Q.json", b"{ not json");
    world.put(
        "status/chair/1.0/01JCZ3M4E1ZQ0Q0Q0Q0Q0Q0Q0R.json",
        &vec![b' '; 1 << 20],
    );
    world.put("status/chair/../x", b"");
    world.put("packages/Not A Name!/x.whl", b"");
    let repo = scene.repo(Line::good());
    let listing = repo.releases_with_problems(&package("chair")).unwrap();
    let good: Vec<String> = listing.releases.iter().map(|r| r.version.to_string()).collect();
    assert_eq!(good, ["1.0", "1.3"]);
    let mut text = String::new();
    for broken in &listing.broken {
        writeln!(text, "{}: {}", broken.place, broken.reason).unwrap();
    }
    for name in [
        "chair-one-",
        "table-1.0-",
        "chair-1.1-",
        "chair-1.2-",
        "chair-1.4.",
    ] {
        assert!(text.contains(name), "{name} in {text}");
    }
    assert_eq!(listing.broken.len(), 5, "{text}");
    assert_eq!(listing.unsupported.len(), 1);
    let metadata = repo.metadata(&listing.releases[1]).unwrap();
    assert_eq!(metadata.name, "chair", "the sidecar of 1.3 lies");
    assert_eq!(repo.packages().unwrap(), [package("chair")]);

    // A publisher beside all that makes right what can be made right.
    scene.publish(Line::good(), "2.0", "ana").unwrap();
    let sidecar = world
        .get("packages/chair/chair-1.3-py3-none-any.whl.metadata")
        .unwrap();
    assert!(sidecar.starts_with(b"Metadata-Version"));
    let page = String::from_utf8(world.get("simple/chair/index.html").unwrap()).unwrap();
    assert_eq!(page.matches("<a href").count(), 3, "{page}");
}

#[test]
fn a_wheel_that_is_not_what_its_record_says_does_not_leave_the_store() {
    let scene = Scene::new(BOTH[1]);
    scene.publish(Line::good(), "1.0", "ana").unwrap();
    let key = "packages/chair/chair-1.0-py3-none-any.whl";
    let mut bytes = scene.world.get(key).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    scene.world.put(key, &bytes);
    let repo = scene.repo(Line::good());
    let releases = repo.wheels(&package("chair"), &Context::default()).unwrap();
    let target = scene.folder.path().join("got.whl");
    let error = repo
        .open_wheel(&releases[0], &target, &Context::default())
        .unwrap_err();
    assert!(matches!(error, crate::Error::WrongBytes { .. }), "{error}");
    assert!(!target.exists());
}
