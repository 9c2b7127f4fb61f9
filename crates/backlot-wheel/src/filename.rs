//! File names of wheels (PEP 427): `main_pack-1.0.0-py3-none-any.whl`.
//!
//! Invariant: printing a parsed name gives a name that parses to the same value.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use backlot_pep::{PackageName, Version};

use crate::error::Error;

/// A parsed file name. Small, since an index may have a hundred thousand of them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct WheelName {
    /// The package.
    pub package: PackageName,
    /// Its version.
    pub version: Version,
    /// The part after the version; `None` for `py3-none-any`, as in nearly all.
    rest: Option<Arc<Rest>>,
}

/// The part after the version.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Rest {
    build: Option<Box<str>>,
    python: Box<str>,
    abi: Box<str>,
    platform: Box<str>,
}

impl WheelName {
    /// The name of a pure Python 3 wheel, as all assets are.
    pub fn pure(package: &PackageName, version: &Version) -> Self {
        Self {
            package: package.clone(),
            version: version.clone(),
            rest: None,
        }
    }

    /// Parse the name of a wheel that most likely is one of a package; whose it is stands in the result.
    pub fn parse_likely(name: &str, package: &PackageName) -> Result<Self, Error> {
        parse(name, Some(package)).ok_or_else(|| Error::BadFileName {
            name: name.to_owned(),
        })
    }

    /// The build tag, which breaks ties.
    pub fn build(&self) -> Option<&str> {
        self.rest.as_ref()?.build.as_deref()
    }

    /// The number that the build tag begins with; 0 without one.
    pub fn build_number(&self) -> u64 {
        let build = self.build().unwrap_or_default();
        let digits = build.bytes().take_while(u8::is_ascii_digit).count();
        build[..digits].parse().unwrap_or(0)
    }

    /// Python tags, joined by dots.
    pub fn python(&self) -> &str {
        self.rest.as_ref().map_or("py3", |rest| &rest.python)
    }

    /// ABI tags.
    pub fn abi(&self) -> &str {
        self.rest.as_ref().map_or("none", |rest| &rest.abi)
    }

    /// Platform tags.
    pub fn platform(&self) -> &str {
        self.rest.as_ref().map_or("any", |rest| &rest.platform)
    }

    /// Whether it runs on any Python 3: `py3-none-any`, also among others.
    pub fn is_pure(&self) -> bool {
        self.rest.as_ref().is_none_or(|rest| {
            rest.python.split('.').any(|tag| tag.starts_with("py3"))
                && rest.abi.split('.').any(|tag| tag == "none")
                && rest.platform.split('.').any(|tag| tag == "any")
        })
    }
}

impl fmt::Display for WheelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.package.file_stem(), self.version)?;
        if let Some(build) = self.build() {
            write!(f, "-{build}")?;
        }
        write!(f, "-{}-{}-{}.whl", self.python(), self.abi(), self.platform())
    }
}

impl FromStr for WheelName {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        parse(name, None).ok_or_else(|| Error::BadFileName {
            name: name.to_owned(),
        })
    }
}

fn parse(name: &str, likely: Option<&PackageName>) -> Option<WheelName> {
    // Versions are read tolerantly, also with spaces around them; a file name has none.
    if !name.bytes().all(|b| b.is_ascii_graphic()) {
        return None;
    }
    let (package, rest) = name.strip_suffix(".whl")?.split_once('-')?;
    let (version, rest) = rest.split_once('-')?;
    let rest = parse_rest(rest)?;
    let package = match likely {
        Some(likely) if is_stem_of(package, likely) => likely.clone(),
        _ => PackageName::parse(package).ok()?,
    };
    let version = if version.contains('_') {
        Version::parse(&version.replace('_', "+"))
    } else {
        Version::parse(version)
    };
    Some(WheelName {
        package,
        version: version.ok()?,
        rest,
    })
}

/// The part after the version.
#[expect(clippy::option_option, reason = "nothing is said, or it is no name")]
fn parse_rest(text: &str) -> Option<Option<Arc<Rest>>> {
    if text == "py3-none-any" {
        return Some(None);
    }
    let parts: Vec<&str> = text.split('-').collect();
    // As plain as the tags: the name becomes part of paths.
    let plain = |text: &str| {
        let mut bytes = text.bytes();
        !text.is_empty() && bytes.all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.'))
    };
    let (build, tags) = match *parts {
        [python, abi, platform] => (None, [python, abi, platform]),
        [build, python, abi, platform] if plain(build) && build.starts_with(|c: char| c.is_ascii_digit()) => {
            (Some(build), [python, abi, platform])
        }
        _ => return None,
    };
    if !tags.into_iter().all(plain) {
        return None;
    }
    let [python, abi, platform] = tags.map(Box::from);
    Some(Some(Arc::new(Rest {
        build: build.map(Box::from),
        python,
        abi,
        platform,
    })))
}

/// Whether the first part of a file name is that of a package, in normalised form.
fn is_stem_of(stem: &str, package: &PackageName) -> bool {
    let package = package.as_str().bytes();
    let usual = package.map(|b| if b == b'-' { b'_' } else { b });
    stem.bytes().eq(usual)
}

#[cfg(test)]
mod tests {
    use super::WheelName;

    #[test]
    fn a_package_that_is_guessed_changes_nothing() {
        let guess = backlot_pep::PackageName::parse("main-pack").expect("valid");
        for name in [
            "main_pack-1.0.0-py3-none-any.whl",
            "Main.Pack-1.0.0-1-py3-none-any.whl",
            "other-1.0+x-py3-none-any.whl",
            "main_pack_-1.0.0-py3-none-any.whl",
            "-1.0.0-py3-none-any.whl",
            "main_pack--py3-none-any.whl",
        ] {
            let parsed = name.parse::<WheelName>().ok();
            assert_eq!(WheelName::parse_likely(name, &guess).ok(), parsed, "{name}");
        }
    }

    #[test]
    fn names_round_trip_and_others_are_refused() {
        for name in [
            "main_pack-1.0.0-py3-none-any.whl",
            "x-1.0rc1-2-cp313-cp313-manylinux_2_28_x86_64.whl",
        ] {
            assert_eq!(name.parse::<WheelName>().expect(name).to_string(), name);
        }
        assert!(
            "main_pack-0.2.0-py2.py3-none-any.whl"
                .parse::<WheelName>()
                .expect("valid")
                .is_pure()
        );
        for name in [
            "x-1.0.tar.gz",
            "x-1.0-py3-none.whl",
            "x-one-py3-none-any.whl",
            "../x-1.0-py3-none-any.whl",
            "x-1-a-b-c-d.whl",
            "x-1.0-1/../../../evil-py3-none-any.whl",
        ] {
            assert!(name.parse::<WheelName>().is_err(), "{name}");
        }
    }
}
