//! Which wheels run in an environment, and which of them best (PEP 425, 600, 656).
//!
//! Invariant: the order is that of the reference implementation (`packaging.tags`) for CPython: the newest platform first,
//! builds for this Python before those for all. Deliberately absent: other implementations than CPython, and
//! asking an interpreter: what its platform takes is read off the machine.

use std::path::Path;

use fs_err as fs;

use crate::filename::WheelName;

/// The oldest C library that wheels are built for on architectures that came later.
const OLDEST_GLIBC: u32 = 17;
/// The same on x86.
const OLDEST_GLIBC_X86: u32 = 5;
/// The assumed version of a glibc that cannot be found.
const LIKELY_GLIBC: u32 = 28;
/// The musl that wheels are built for; its number is not to be had without running it.
const LIKELY_MUSL: u32 = 2;

/// The tags of an environment.
#[derive(Clone, Debug)]
pub struct Tags {
    /// `13` of Python 3.13.
    minor: u32,
    /// Platform tags, best first, without `any`.
    platforms: Vec<String>,
}

/// How well a wheel fits; less is better.
pub type Fit = (u32, usize);

impl Tags {
    /// Of CPython of a version (`3.13`) on this machine.
    pub fn of_this_machine(python: &str) -> Self {
        let platforms = match std::env::consts::OS {
            "linux" => linux_platforms(std::env::consts::ARCH, libc(std::env::consts::ARCH)),
            "macos" => macos_platforms(std::env::consts::ARCH, macos_version()),
            "windows" => vec![
                match std::env::consts::ARCH {
                    "x86_64" => "win_amd64",
                    "aarch64" => "win_arm64",
                    _ => "win32",
                }
                .to_owned(),
            ],
            _ => Vec::new(),
        };
        Self::new(python, platforms)
    }

    /// Of CPython of a version with these platform tags, best first.
    pub fn new(python: &str, platforms: Vec<String>) -> Self {
        let minor = python.split('.').nth(1).and_then(|m| m.parse().ok()).unwrap_or(0);
        Self { minor, platforms }
    }

    /// How well a wheel fits; `None` if it does not run.
    pub fn fit(&self, name: &WheelName) -> Option<Fit> {
        let mut best = None;
        for python in name.python().split('.') {
            for abi in name.abi().split('.') {
                for platform in name.platform().split('.') {
                    let fit = self.fit_of(python, abi, platform);
                    best = match (best, fit) {
                        (Some(a), Some(b)) => Some(std::cmp::min(a, b)),
                        (a, b) => a.or(b),
                    };
                }
            }
        }
        best
    }

    fn fit_of(&self, python: &str, abi: &str, platform: &str) -> Option<Fit> {
        let any = platform == "any";
        let place = if any {
            Some(0)
        } else {
            self.platforms.iter().position(|p| p == platform)
        }?;
        // Each group of the order gets a hundred; the newest Python comes first within.
        let older = |minor: u32| (minor <= self.minor).then(|| self.minor - minor);
        if let Some(minor) = python.strip_prefix("cp3").and_then(|m| m.parse().ok()) {
            let exact = minor == self.minor;
            let group = match (abi, any) {
                ("none", true) if exact => 599,
                ("abi3", false) if exact => 100,
                ("abi3", false) if minor >= 2 => 300 + older(minor)?,
                ("none", false) if exact => 200,
                (abi, false) if exact && abi == python => 0,
                // Including code for any platform, which is not native code.
                _ => return None,
            };
            return Some((group, place));
        }
        if abi != "none" {
            return None;
        }
        let age = match python.strip_prefix("py3")? {
            "" => 1,
            minor => match older(minor.parse().ok()?)? {
                0 => 0,
                age => age + 1,
            },
        };
        Some((if any { 600 } else { 400 } + age, place))
    }
}

/// The C library of this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Libc {
    /// 2.*n*
    Glibc(u32),
    /// 1.*n*
    Musl(u32),
}

fn libc(arch: &str) -> Libc {
    let places = [
        format!("/lib/{arch}-linux-gnu/libc.so.6"),
        "/lib64/libc.so.6".to_owned(),
        "/usr/lib64/libc.so.6".to_owned(),
        "/lib/libc.so.6".to_owned(),
        "/usr/lib/libc.so.6".to_owned(),
    ];
    for place in places {
        if let Some(minor) = fs::read(place).ok().and_then(|bytes| glibc_minor(&bytes)) {
            return Libc::Glibc(minor);
        }
    }
    if Path::new(&format!("/lib/ld-musl-{arch}.so.1")).exists() {
        return Libc::Musl(LIKELY_MUSL);
    }
    Libc::Glibc(LIKELY_GLIBC)
}

/// The library says of itself: `GNU C Library (...) stable release version 2.36.`
fn glibc_minor(library: &[u8]) -> Option<u32> {
    let find = |from: usize, what: &[u8]| {
        let found = library.get(from..)?.windows(what.len()).position(|w| w == what)?;
        Some(from + found + what.len())
    };
    let banner = find(0, b"GNU C Library")?;
    let version = find(banner, b"release version 2.")?;
    let digits: Vec<u8> = library[version..]
        .iter()
        .copied()
        .take_while(u8::is_ascii_digit)
        .take(3)
        .collect();
    std::str::from_utf8(&digits).ok()?.parse().ok()
}

fn linux_platforms(arch: &str, libc: Libc) -> Vec<String> {
    let arch = if arch == "x86" { "i686" } else { arch };
    // Builds for a platform like this one come first, as in `packaging` and uv.
    let mut platforms = vec![format!("linux_{arch}")];
    match libc {
        Libc::Glibc(newest) => {
            let oldest = if matches!(arch, "x86_64" | "i686") {
                OLDEST_GLIBC_X86
            } else {
                OLDEST_GLIBC
            };
            for minor in (oldest..=newest).rev() {
                platforms.push(format!("manylinux_2_{minor}_{arch}"));
                let old_name = match minor {
                    17 => "manylinux2014",
                    12 => "manylinux2010",
                    5 => "manylinux1",
                    _ => continue,
                };
                platforms.push(format!("{old_name}_{arch}"));
            }
        }
        Libc::Musl(newest) => platforms.extend((0..=newest).rev().map(|m| format!("musllinux_1_{m}_{arch}"))),
    }
    platforms
}

fn macos_version() -> (u32, u32) {
    let plist = fs::read_to_string("/System/Library/CoreServices/SystemVersion.plist").unwrap_or_default();
    let version = plist
        .split_once("<key>ProductVersion</key>")
        .and_then(|(_, rest)| {
            let text = rest.split_once("<string>")?.1.split_once("</string>")?.0;
            let mut numbers = text.split('.').map(|n| n.parse().ok());
            Some((numbers.next()??, numbers.next().flatten().unwrap_or(0)))
        });
    version.unwrap_or((11, 0))
}

fn macos_platforms(arch: &str, (major, minor): (u32, u32)) -> Vec<String> {
    let (formats, old_formats): (&[&str], &[&str]) = match arch {
        "aarch64" => (&["arm64", "universal2"], &["universal2"]),
        _ => {
            let all = &["x86_64", "intel", "fat64", "fat32", "universal2", "universal"];
            (all, all)
        }
    };
    let mut platforms = Vec::new();
    for major in (11..=major).rev() {
        platforms.extend(formats.iter().map(|f| format!("macosx_{major}_0_{f}")));
    }
    let newest = if major >= 11 { 16 } else { minor };
    for minor in (4..=newest).rev() {
        platforms.extend(old_formats.iter().map(|f| format!("macosx_10_{minor}_{f}")));
    }
    platforms
}

#[cfg(test)]
mod tests {
    use super::{Libc, Tags, glibc_minor, linux_platforms, macos_platforms};

    fn tags() -> Tags {
        Tags::new("3.12", linux_platforms("x86_64", Libc::Glibc(36)))
    }

    #[test]
    fn wheels_are_ordered_as_the_standard_says() {
        // In the order of `packaging.tags.sys_tags()`.
        let best_first = [
            "cp312-cp312-linux_x86_64",
            "cp312-cp312-manylinux_2_36_x86_64",
            "cp312-cp312-manylinux_2_17_x86_64",
            "cp312-cp312-manylinux2014_x86_64",
            "cp312-abi3-manylinux_2_28_x86_64",
            "cp312-none-linux_x86_64",
            "cp311-abi3-manylinux1_x86_64",
            "cp37-abi3-manylinux2010_x86_64",
            "py312-none-linux_x86_64",
            "py3-none-manylinux_2_5_x86_64",
            "py311-none-linux_x86_64",
            "cp312-none-any",
            "py312-none-any",
            "py3-none-any",
            "py39-none-any",
        ];
        let fits: Vec<_> = best_first
            .iter()
            .map(|t| tags().fit(&format!("x-1.0-{t}.whl").parse().unwrap()).expect(t))
            .collect();
        assert!(fits.is_sorted(), "{fits:?}");
        let mut unique = fits.clone();
        unique.dedup();
        assert_eq!(unique.len(), fits.len());
    }

    #[test]
    fn what_is_for_others_does_not_fit() {
        for tag in [
            "cp313-cp313-manylinux_2_17_x86_64",
            "cp313-abi3-manylinux_2_17_x86_64",
            "cp312-cp312-manylinux_2_37_x86_64",
            "cp312-cp312-musllinux_1_2_x86_64",
            "cp312-cp312-manylinux_2_17_aarch64",
            "cp312-cp312-win_amd64",
            "cp312-cp312t-manylinux_2_17_x86_64",
            "cp312-cp312-any",
            "pp310-pypy310_pp73-manylinux_2_17_x86_64",
            "py2-none-any",
            "py313-none-any",
        ] {
            assert_eq!(
                tags().fit(&format!("x-1.0-{tag}.whl").parse().unwrap()),
                None,
                "{tag}"
            );
        }
        assert!(
            tags()
                .fit(&"x-1.0-py2.py3-none-any.whl".parse().unwrap())
                .is_some()
        );
    }

    #[test]
    fn platforms_are_told_from_the_machine() {
        let banner = b"\0GNU C Library (Debian GLIBC 2.36-9+deb12u9) stable release version 2.36.\nCopyright";
        assert_eq!(glibc_minor(banner), Some(36));
        assert_eq!(glibc_minor(b"no such thing"), None);
        assert_eq!(
            linux_platforms("x86_64", Libc::Musl(1))[1],
            "musllinux_1_1_x86_64"
        );
        assert_eq!(linux_platforms("aarch64", Libc::Glibc(17)).len(), 3);
        let mac = macos_platforms("aarch64", (14, 2));
        assert_eq!(mac[0], "macosx_14_0_arm64");
        assert!(
            mac.contains(&"macosx_10_9_universal2".to_owned())
                && !mac.contains(&"macosx_10_9_x86_64".to_owned())
        );
    }
}
