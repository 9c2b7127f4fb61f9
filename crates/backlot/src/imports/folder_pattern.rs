//! How versions are named in a tree of folders and files: `{name}_v{version}`.
//!
//! A pattern is a path below the folder that is imported. `{name}` stands for any text of one name, `{version}` for a number, `{minor}` and `{micro}` for those that
//! may follow it, `*` for any text; everything else for itself. Invariant: a name that fits in several ways fits in the one with the longest `{name}`.

use backlot_pep::Version;

/// A part of a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Name,
    /// 0 is the version, 1 minor, 2 micro.
    Number(usize),
    Any,
}

/// A pattern that was read.
#[derive(Clone, Debug)]
pub(crate) struct FolderPattern {
    /// The parts of each name of the path.
    levels: Vec<Vec<Part>>,
}

/// What a name says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Captured {
    pub(crate) name: Option<String>,
    /// As it is written, so that `1` and `001` can be told from each other.
    numbers: [Option<String>; 3],
    /// Where the version stands, with the text before it.
    version_at: (usize, usize),
}

const NUMBERS: [&str; 3] = ["version", "minor", "micro"];

impl FolderPattern {
    /// Read a pattern; the error is a sentence about it.
    pub(crate) fn parse(text: &str, has_name: bool) -> Result<Self, String> {
        let levels: Vec<Vec<Part>> = text.split('/').map(parts).collect::<Result<_, _>>()?;
        if levels.iter().any(Vec::is_empty) {
            return Err("it has an empty name".to_owned());
        }
        let count = |wanted: &Part| levels.iter().flatten().filter(|part| *part == wanted).count();
        let numbers = |level: &Vec<Part>| {
            level
                .iter()
                .filter(|part| matches!(part, Part::Number(_)))
                .count()
        };
        match (count(&Part::Name), has_name) {
            (0, false) => return Err("it has no `{name}`, and no name is given".to_owned()),
            (1, true) => return Err("it has `{name}`, and a name is given".to_owned()),
            (0 | 1, _) => {}
            _ => return Err("it has more than one `{name}`".to_owned()),
        }
        for (number, name) in NUMBERS.iter().enumerate() {
            if count(&Part::Number(number)) > 1 {
                return Err(format!("it has more than one `{{{name}}}`"));
            }
        }
        let (last, above) = levels.split_last().ok_or("it is empty")?;
        if !last.contains(&Part::Number(0)) || above.iter().any(|level| numbers(level) > 0) {
            return Err("its last name has to have the `{version}`, and only that".to_owned());
        }
        if count(&Part::Number(2)) > count(&Part::Number(1)) {
            return Err("`{micro}` needs a `{minor}`".to_owned());
        }
        Ok(Self { levels })
    }

    /// How many names a path has.
    pub(crate) fn depth(&self) -> usize {
        self.levels.len()
    }

    /// What the name at a level says, if it fits. Of a file, the last may fit without its ending.
    pub(crate) fn fit(&self, level: usize, name: &str, is_file: bool) -> Option<Captured> {
        let parts = self.levels.get(level)?;
        let whole = |text: &str| {
            let mut captured = Captured::default();
            fits(parts, text, 0, &mut captured).then_some(captured)
        };
        let is_last = level + 1 == self.levels.len();
        let without_ending = || {
            name.rsplit_once('.')
                .map(|(stem, _)| stem)
                .filter(|stem| !stem.is_empty())
        };
        if !(is_last && is_file) {
            return whole(name);
        }
        let stem = || without_ending().and_then(whole);
        if parts.last() == Some(&Part::Name) {
            // The ending is not part of the asset's name.
            stem().or_else(|| whole(name))
        } else {
            whole(name).or_else(stem)
        }
    }
}

impl Captured {
    /// The version: `003` is 3.0.0. An error if it is not one.
    pub(crate) fn version(&self) -> Result<Version, String> {
        let number = |text: &Option<String>| match text {
            None => Ok(0u64),
            Some(text) => text
                .parse()
                .map_err(|_| format!("{text} is too large for a version")),
        };
        let [major, minor, micro] = &self.numbers;
        let text = format!("{}.{}.{}", number(major)?, number(minor)?, number(micro)?);
        text.parse().map_err(|_| format!("{text} is not a version"))
    }

    /// The version as the names have it.
    pub(crate) fn written(&self) -> String {
        let numbers: Vec<&str> = self.numbers.iter().flatten().map(String::as_str).collect();
        numbers.join(".")
    }

    /// The name of a file without its version, so that it is the same file in all of them; `asset` where nothing else is left of it.
    pub(crate) fn without_version(&self, file: &str, asset: &str) -> String {
        let (start, end) = self.version_at;
        let (before, after) = (
            file.get(..start).unwrap_or_default(),
            file.get(end..).unwrap_or_default(),
        );
        if before.is_empty() && (after.is_empty() || after.starts_with('.')) {
            return format!("{asset}{after}");
        }
        format!("{before}{after}")
    }
}

fn parts(level: &str) -> Result<Vec<Part>, String> {
    let mut parts = Vec::new();
    let mut rest = level;
    while !rest.is_empty() {
        if let Some(inside) = rest.strip_prefix('{') {
            let (word, after) = inside.split_once('}').ok_or("a `{` is not closed")?;
            parts.push(match word {
                "name" => Part::Name,
                word => match NUMBERS.iter().position(|known| *known == word) {
                    Some(number) => Part::Number(number),
                    None => {
                        return Err(format!(
                            "`{{{word}}}` is unknown; use {{name}}, {{version}}, {{minor}}, {{micro}} and *"
                        ));
                    }
                },
            });
            rest = after;
        } else if let Some(after) = rest.strip_prefix('*') {
            if parts.last() != Some(&Part::Any) {
                parts.push(Part::Any);
            }
            rest = after;
        } else {
            let end = rest.find(['{', '*']).unwrap_or(rest.len());
            let (text, after) = rest.split_at(end);
            if text.contains('}') {
                return Err("a `}` has no `{`".to_owned());
            }
            parts.push(Part::Text(text.to_owned()));
            rest = after;
        }
    }
    Ok(parts)
}

/// Whether the rest of a name, from `at`, fits parts. The longest text is tried first.
fn fits(parts: &[Part], text: &str, at: usize, captured: &mut Captured) -> bool {
    let rest = &text[at..];
    let Some((first, others)) = parts.split_first() else {
        return rest.is_empty();
    };
    match first {
        Part::Text(wanted) => {
            if !rest.starts_with(wanted.as_str()) {
                return false;
            }
            if let Some(Part::Number(0)) = others.first() {
                captured.version_at.0 = at;
            }
            fits(others, text, at + wanted.len(), captured)
        }
        Part::Number(number) => {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            if digits == 0 {
                return false;
            }
            captured.numbers[*number] = Some(rest[..digits].to_owned());
            captured.version_at.1 = at + digits;
            fits(others, text, at + digits, captured)
        }
        Part::Name | Part::Any => {
            let ends: Vec<usize> = rest
                .char_indices()
                .map(|(end, _)| end)
                .chain([rest.len()])
                .collect();
            let shortest = usize::from(*first == Part::Name);
            ends.into_iter().rev().filter(|end| *end >= shortest).any(|end| {
                let mut tried = captured.clone();
                if *first == Part::Name {
                    tried.name = Some(rest[..end].to_owned());
                }
                if let Some(Part::Number(0)) = others.first() {
                    tried.version_at.0 = at + end;
                }
                let fitted = fits(others, text, at + end, &mut tried);
                if fitted {
                    *captured = tried;
                }
                fitted
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::FolderPattern;

    /// Name, version, and the file without it.
    fn read(pattern: &str, name: &str, is_file: bool) -> Option<(String, String, String)> {
        let pattern = FolderPattern::parse(pattern, !pattern.contains("{name}")).expect("a pattern");
        let captured = pattern.fit(pattern.depth() - 1, name, is_file)?;
        let asset = captured.name.clone().unwrap_or_else(|| "asset".to_owned());
        let without = captured.without_version(name, &asset);
        let version = captured.version().expect("a version").to_string();
        Some((asset, version, without))
    }

    #[test]
    fn names_are_read_and_files_are_the_same_file_in_all_versions() {
        for (pattern, name, is_file, expected) in [
            (
                "{name}_v{version}",
                "table_v003",
                false,
                Some(("table", "3.0.0", "table")),
            ),
            (
                "{name}_v{version}",
                "table_v003.abc",
                true,
                Some(("table", "3.0.0", "table.abc")),
            ),
            (
                "{name}_v{version}",
                "my_v2_table_v010",
                false,
                Some(("my_v2_table", "10.0.0", "my_v2_table")),
            ),
            ("{name}_v{version}", "table_v003.1001.exr", true, None),
            (
                "{name}_v{version}.*",
                "table_v003.1001.exr",
                true,
                Some(("table", "3.0.0", "table.1001.exr")),
            ),
            ("{name}_v{version}", "table_v003.abc", false, None),
            ("{name}_v{version}", "table", false, None),
            ("{name}_v{version}", "_v1", false, None),
            (
                "{name}.v{version}.{minor}",
                "table.v1.12",
                false,
                Some(("table", "1.12.0", "table")),
            ),
            (
                "{name}-{version}.{minor}.{micro}",
                "table-1.2.3.abc",
                true,
                Some(("table", "1.2.3", "table.abc")),
            ),
            (
                "v{version}",
                "v007.abc",
                true,
                Some(("asset", "7.0.0", "asset.abc")),
            ),
            (
                "v{version}_{name}",
                "v2_table.abc",
                true,
                Some(("table", "2.0.0", "_table.abc")),
            ),
            (
                "{name}_v{version}_*",
                "table_v1_high.abc",
                true,
                Some(("table", "1.0.0", "table_high.abc")),
            ),
            (
                "{name}_v{version}",
                "tisché_v2",
                false,
                Some(("tisché", "2.0.0", "tisché")),
            ),
        ] {
            let expected = expected.map(|(a, b, c)| (a.to_owned(), b.to_owned(), c.to_owned()));
            assert_eq!(read(pattern, name, is_file), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn patterns_that_say_no_version_or_two_names_are_refused() {
        for (pattern, has_name, word) in [
            ("{name}", false, "{version}"),
            ("v{version}", false, "no name is given"),
            ("{name}_v{version}", true, "a name is given"),
            ("{name}/{version}/*", false, "last name"),
            ("{name}{name}_{version}", false, "more than one"),
            ("{name}_{version}_{version}", false, "more than one"),
            ("{name}_v{version}.{micro}", false, "{minor}"),
            ("{nam}_v{version}", false, "is unknown"),
            ("{name_v{version", false, "not closed"),
            ("{name}_v{version", false, "not closed"),
            ("{name}_v}{version}", false, "no `{`"),
            ("/{name}_v{version}", false, "empty name"),
            ("", true, "empty name"),
        ] {
            let error = FolderPattern::parse(pattern, has_name).expect_err(pattern);
            assert!(error.contains(word), "{pattern}: {error}");
        }
    }

    #[test]
    fn no_name_makes_a_pattern_panic() {
        let names = [
            "",
            ".",
            "_v",
            "v1",
            "{name}",
            "é_v1",
            "_v99999999999999999999999",
            "a_v1.",
            ".a_v1",
            "a_v1_v2.b.c",
        ];
        for pattern in [
            "{name}_v{version}",
            "{name}_v{version}*",
            "*{name}*{version}*",
            "é{version}{name}",
        ] {
            let pattern = FolderPattern::parse(pattern, false).expect("a pattern");
            for name in names {
                for is_file in [false, true] {
                    if let Some(captured) = pattern.fit(0, name, is_file) {
                        let _known = (captured.version(), captured.without_version(name, "x"));
                    }
                }
            }
        }
    }
}
