//! File names of wheels (PEP 427): `main_pack-1.0.0-py3-none-any.whl`.
//!
//! Invariant: printing a parsed name gives a name that parses to the same value.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use backlot_core::{PackageName, Version};

use crate::error::Error;

/// A tag of a file name. The common ones take no memory: an index may have a hundred thousand names.
type Tag = Cow<'static, str>;

fn common(tag: &str) -> Tag {
    match tag {
        "py3" => Cow::Borrowed("py3"),
        "none" => Cow::Borrowed("none"),
        "any" => Cow::Borrowed("any"),
        other => Cow::Owned(other.to_owned()),
    }
}

/// A parsed file name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct WheelName {
    /// The package.
    pub package: PackageName,
    /// Its version.
    pub version: Version,
    /// The build tag, which breaks ties.
    pub build: Option<String>,
    /// Python tags, joined by dots.
    pub python: Tag,
    /// ABI tags.
    pub abi: Tag,
    /// Platform tags.
    pub platform: Tag,
}

impl WheelName {
    /// The name of a pure Python 3 wheel, as all assets are.
    pub fn pure(package: &PackageName, version: &Version) -> Self {
        Self {
            package: package.clone(),
            version: version.clone(),
            build: None,
            python: Cow::Borrowed("py3"),
            abi: Cow::Borrowed("none"),
            platform: Cow::Borrowed("any"),
        }
    }

    /// Whether it runs on any Python 3: `py3-none-any`, also among others.
    pub fn is_pure(&self) -> bool {
        let most = (&*self.python, &*self.abi, &*self.platform) == ("py3", "none", "any");
        most || self.python.split('.').any(|tag| tag.starts_with("py3"))
            && self.abi.split('.').any(|tag| tag == "none")
            && self.platform.split('.').any(|tag| tag == "any")
    }
}

impl fmt::Display for WheelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.package.file_stem(), self.version)?;
        if let Some(build) = &self.build {
            write!(f, "-{build}")?;
        }
        write!(f, "-{}-{}-{}.whl", self.python, self.abi, self.platform)
    }
}

impl FromStr for WheelName {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        let bad = || Error::BadFileName {
            name: name.to_owned(),
        };
        // Versions are read tolerantly, also with spaces around them; a file name has none.
        if !name.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(bad());
        }
        let stem = name.strip_suffix(".whl").ok_or_else(bad)?;
        let parts: Vec<&str> = stem.split('-').collect();
        let (build, tags) = match parts.len() {
            5 => (None, &parts[2..]),
            // As plain as the tags: the name becomes part of paths.
            6 if parts[2].starts_with(|c: char| c.is_ascii_digit())
                && parts[2]
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.')) =>
            {
                (Some(parts[2].to_owned()), &parts[3..])
            }
            _ => return Err(bad()),
        };
        let tag = |text: &str| {
            let plain = !text.is_empty()
                && text
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.'));
            if plain { Ok(common(text)) } else { Err(bad()) }
        };
        Ok(Self {
            package: PackageName::parse(parts[0]).map_err(|_| bad())?,
            version: Version::parse(&parts[1].replace('_', "+")).map_err(|_| bad())?,
            build,
            python: tag(tags[0])?,
            abi: tag(tags[1])?,
            platform: tag(tags[2])?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::WheelName;

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
