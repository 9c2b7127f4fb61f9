//! Where a dependency or output is: inside the project, or elsewhere.
//!
//! Invariant: two places are equal only if they are one path after `.` and `..` are resolved by name. Deliberately
//! absent: symbolic links; absolute paths that lead into the project are found by [`super::ProjectFiles::relative`].

use std::fmt;

use backlot_core::RelPath;

/// A path of a stage.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// The project's folder itself.
    Root,
    /// A path inside of the project.
    Inside(RelPath),
    /// A path outside: absolute, beginning with `..`, or a URL.
    Outside(String),
}

impl Place {
    /// The place of a path that is relative to a folder. `Err` has the reason if it is invalid.
    pub(crate) fn resolve(folder: &Self, path: &str) -> Result<Self, &'static str> {
        if path.is_empty() {
            return Err("is empty");
        }
        if is_url(path) || path.starts_with('/') {
            return Ok(Self::Outside(path.to_owned()));
        }
        let mut parts: Vec<&str> = match folder {
            Self::Root => Vec::new(),
            Self::Inside(folder) => folder.parts().collect(),
            Self::Outside(folder) => folder.split('/').collect(),
        };
        for part in path.split('/') {
            match part {
                "" | "." => {}
                ".." if parts.last().is_none_or(|last| *last == "..") => parts.push(".."),
                ".." => drop(parts.pop()),
                name => parts.push(name),
            }
        }
        let joined = parts.join("/");
        match parts.first() {
            None => Ok(Self::Root),
            Some(&".." | &"") => Ok(Self::Outside(joined)),
            Some(_) => RelPath::parse(&joined)
                .map(Self::Inside)
                .map_err(|hostile| hostile.reason),
        }
    }

    /// The way from a folder to a path of the project, with `/`.
    pub fn way(folder: &Self, path: &RelPath) -> String {
        let folder: Vec<&str> = match folder {
            Self::Inside(folder) => folder.parts().collect(),
            _ => Vec::new(),
        };
        let names: Vec<&str> = path.parts().collect();
        let common = folder.iter().zip(&names).take_while(|(a, b)| a == b).count();
        let up = folder[common..].iter().map(|_| "..");
        let way: Vec<&str> = up.chain(names[common..].iter().copied()).collect();
        if way.is_empty() {
            ".".to_owned()
        } else {
            way.join("/")
        }
    }

    /// The folder a file is in.
    pub(crate) fn folder_of(file: &RelPath) -> Self {
        file.parent().map_or(Self::Root, Self::Inside)
    }

    /// The path inside of the project.
    pub fn inside(&self) -> Option<&RelPath> {
        match self {
            Self::Inside(path) => Some(path),
            _ => None,
        }
    }

    /// Whether it is on another machine.
    pub fn is_url(&self) -> bool {
        matches!(self, Self::Outside(path) if is_url(path))
    }
}

/// `s3://...`, `remote://...`, `ds://...`.
fn is_url(path: &str) -> bool {
    path.split_once("://").is_some_and(|(scheme, _)| {
        scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
    })
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => f.write_str("."),
            Self::Inside(path) => path.fmt(f),
            Self::Outside(path) => f.write_str(path),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Place;

    #[test]
    fn the_way_from_a_folder_leads_to_the_path() {
        for (folder, path, way) in [
            (".", "a/b", "a/b"),
            ("a", "a/b", "b"),
            ("a/c", "a/b", "../b"),
            ("x/y", "a", "../../a"),
            ("a/b", "a", ".."),
            ("a", "a", "."),
        ] {
            let folder = Place::resolve(&Place::Root, folder).expect("valid");
            let place = Place::resolve(&Place::Root, path).expect("valid");
            let found = Place::way(&folder, place.inside().expect("inside"));
            assert_eq!(found, way);
            assert_eq!(Place::resolve(&folder, &found), Ok(place));
        }
    }

    #[test]
    fn dots_are_resolved_by_name() {
        let root = Place::Root;
        let folder = Place::resolve(&root, "a/b").expect("valid");
        for (from, path, place) in [
            (&root, "./x/", "x"),
            (&root, "x//y/.", "x/y"),
            (&folder, "../x", "a/x"),
            (&folder, "../..", "."),
            (&folder, "../../../x", "../x"),
            (&root, "../../x", "../../x"),
            (&root, "s3://b/../x", "s3://b/../x"),
            (&root, "/x/../y", "/x/../y"),
        ] {
            assert_eq!(
                Place::resolve(from, path).expect(path).to_string(),
                place,
                "{path}"
            );
        }
        let outside = Place::resolve(&root, "../o").expect("valid");
        assert_eq!(
            Place::resolve(&outside, "../x").expect("valid").to_string(),
            "../x"
        );
        assert!(Place::resolve(&root, "a\\b").is_err() && Place::resolve(&root, "").is_err());
        assert!(Place::resolve(&root, "s3://x").expect("valid").is_url());
        assert!(!Place::resolve(&root, "/a://x").expect("valid").is_url());
    }
}
