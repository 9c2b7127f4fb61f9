//! What DVC's formats and some disks do not hold: modes of files in folders, and names that are one elsewhere.

use std::sync::{Arc, Mutex};

use backlot_core::{Context, Diagnostic as _, Event, EventKind, LinkMode, Observer};
use fs_err as fs;

use super::{PLAIN, Place};
use crate::checkout::{Placing, checkout_by};
use crate::{AddOptions, CheckoutOptions, CheckoutReport, Result, TrackedPointer};

/// The codes of the warnings.
#[derive(Debug, Default)]
struct Codes(Mutex<Vec<String>>);

impl Observer for Codes {
    fn event(&self, event: &Event) {
        if let EventKind::Warned(warning) = &event.kind {
            let mut codes = self.0.lock().expect("no panic");
            codes.push(format!("{} {}", warning.code, warning.message));
        }
    }
}

impl Place {
    fn listening(mut self) -> (Self, Arc<Codes>) {
        let codes = Arc::new(Codes::default());
        self.context = Context::default().with_observer(codes.clone());
        (self, codes)
    }

    /// Check out onto a disk that takes twins for one, or as it is.
    fn checkout_as(&self, links: &[LinkMode], folds: bool) -> Result<CheckoutReport> {
        let found = self.pointers();
        let options = CheckoutOptions {
            links,
            ..CheckoutOptions::default()
        };
        let placing = Placing {
            cache: &self.cache,
            aside: &std::collections::BTreeMap::new(),
            manifests: None,
            stat: &self.stat,
            options: &options,
            planned: false,
            context: &self.context,
            tells_apart: &|_, _, _| Ok(!folds),
        };
        checkout_by(&found.iter().collect::<Vec<&TrackedPointer>>(), &placing)
    }
}

#[test]
fn twins_are_told_at_add_and_refused_where_the_disk_takes_them_for_one() {
    for (one, other) in [
        ("set/Frame.exr", "set/frame.exr"),
        ("set/f\u{fc}r", "set/fu\u{308}r"),
        ("set/Sub/a", "set/sub/b"),
        ("Frame.exr", "frame.exr"),
    ] {
        let (place, codes) = Place::new().listening();
        place.write(one, "1");
        place.write(other, "2");
        let targets: Vec<&str> = if one.starts_with("set") {
            vec!["set"]
        } else {
            vec![one, other]
        };
        place.add_with(&targets, false, false).expect("added");
        let told = codes.0.lock().expect("no panic").clone();
        assert!(
            told.iter().any(|line| line.starts_with("dvc::twin_names")),
            "{told:?}"
        );
        for path in targets {
            let path = place.root.join(path);
            fs::remove_dir_all(&path)
                .or_else(|_| fs::remove_file(&path))
                .expect("removed");
        }
        let error = place.checkout_as(&[LinkMode::Copy], true).expect_err("refused");
        assert_eq!(error.code(), "dvc::one_name");
        let name = |path: &str| {
            path.split('/')
                .nth(usize::from(path.contains("set")))
                .map(str::to_owned)
        };
        for path in [one, other] {
            assert!(
                error.to_string().contains(&name(path).expect("a name")),
                "{error}"
            );
        }
        assert!(!place.root.join(one).exists() && !place.root.join(other).exists());
        let report = place.checkout_as(&[LinkMode::Copy], false).expect("checked out");
        assert_eq!(
            (
                report.placed,
                place.read(one).as_str(),
                place.read(other).as_str()
            ),
            (2, "1", "2")
        );
    }
}

#[test]
fn names_that_windows_cannot_hold_are_told_once_and_tracked() {
    let (place, codes) = Place::new().listening();
    for name in ["set/ab:c", "set/con.exr", "set/fine", "what?.bin"] {
        place.write(name, name);
    }
    place
        .add_with(&["set", "what?.bin"], false, false)
        .expect("added");
    let told = codes.0.lock().expect("no panic").clone();
    let told: Vec<&String> = told
        .iter()
        .filter(|line| line.starts_with("dvc::unportable_name"))
        .collect();
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(
        told[0].contains("ab:c") && told[0].contains("1 other"),
        "{told:?}"
    );
}

#[cfg(unix)]
mod executable {
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::Path;

    use super::{AddOptions, LinkMode, PLAIN, Place, fs};
    use crate::Change;

    fn chmod(path: &Path, mode: u32) {
        fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("set");
    }

    fn is_executable(path: &Path) -> bool {
        fs::metadata(path).expect("there").permissions().mode() & 0o111 != 0
    }

    const WAYS: [LinkMode; 4] = [
        LinkMode::Copy,
        LinkMode::Hardlink,
        LinkMode::Symlink,
        LinkMode::Reflink,
    ];

    #[test]
    fn a_file_is_executable_in_every_way_of_placing_it_and_stops_to_be() {
        for way in WAYS {
            let links = [way, LinkMode::Copy];
            let options = AddOptions {
                links: &links,
                ..PLAIN
            };
            let place = Place::new();
            place.write("tool", "#!/bin/sh");
            place.write("data", "plain");
            let tool = place.root.join("tool");
            chmod(&tool, 0o755);
            place.add_by(&["tool", "data"], &options).expect("added");
            assert!(is_executable(&tool), "{way}: adding took the bit away");
            assert!(place.read("tool.dvc").contains("isexec: true"));
            let object = place
                .cache
                .object_path(&place.pointers()[1].pointer.outs[0].id().expect("content"));
            assert!(!is_executable(&object), "{way}: objects have one mode");
            for name in ["tool", "data"] {
                fs::remove_file(place.root.join(name)).expect("removed");
            }
            place.checkout_as(&links, false).expect("checked out");
            assert!(
                is_executable(&tool) && !is_executable(&place.root.join("data")),
                "{way}"
            );
            assert_eq!(place.change("tool"), Change::Unchanged);
            // Taking it away is a change, and is recorded.
            chmod(&tool, 0o644);
            assert!(matches!(place.change("tool"), Change::Modified { .. }), "{way}");
            place.checkout_as(&links, false).expect("checked out");
            assert!(is_executable(&tool), "{way}: brought back");
            chmod(&tool, 0o644);
            place.add_by(&["tool"], &options).expect("added");
            assert!(!place.read("tool.dvc").contains("isexec"));
            assert_eq!(place.change("tool"), Change::Unchanged);
            chmod(&place.root.join("data"), 0o755);
            place.checkout_as(&links, false).expect("checked out");
            assert!(!is_executable(&place.root.join("data")), "{way}: cleared");
        }
    }

    #[test]
    fn a_link_from_before_the_bit_was_set_becomes_a_file_of_its_own() {
        for way in [LinkMode::Hardlink, LinkMode::Symlink] {
            let links = [way, LinkMode::Copy];
            let place = Place::new();
            place.write("tool", "#!/bin/sh");
            place
                .add_by(
                    &["tool"],
                    &AddOptions {
                        links: &links,
                        ..PLAIN
                    },
                )
                .expect("added");
            let text = place.read("tool.dvc");
            place.write(
                "tool.dvc",
                &text.replace("  hash: md5", "  isexec: true\n  hash: md5"),
            );
            // A link cannot have the bit, so nothing was changed by a person.
            assert_eq!(place.change("tool"), Change::Unchanged);
            place.checkout_as(&links, false).expect("checked out");
            assert!(is_executable(&place.root.join("tool")), "{way}");
            let id = place.pointers()[0].pointer.outs[0].id().expect("content");
            assert!(!is_executable(&place.cache.object_path(&id)), "{way}");
        }
    }

    #[test]
    fn executable_files_in_a_folder_are_told_once() {
        let (place, codes) = Place::new().listening();
        for name in ["set/a.sh", "set/b.sh", "set/c"] {
            place.write(name, name);
        }
        chmod(&place.root.join("set/a.sh"), 0o755);
        chmod(&place.root.join("set/b.sh"), 0o755);
        place.add_with(&["set"], false, false).expect("added");
        let told = codes.0.lock().expect("no panic").clone();
        let told: Vec<&String> = told
            .iter()
            .filter(|line| line.starts_with("dvc::executable_in_folder"))
            .collect();
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(
            told[0].contains("a.sh") && told[0].contains("1 other"),
            "{told:?}"
        );
    }
}
