//! `.dvcignore`: which paths are not tracked.
//!
//! Syntax is gitignore's; files lie in any folder from the DVC repository's root down, deeper ones win. `.git`, `.hg` and
//! `.dvc` are always ignored. Deliberately absent: `.gitignore`, which does not decide what is tracked.

use std::path::Path;
use std::sync::Arc;

use fs_err as fs;
use ignore::Match;
use ignore::gitignore::{Gitignore, GitignoreBuilder};

use crate::error::{Error, Result};
use crate::names;

/// The name of an ignore file.
pub const IGNORE_FILE: &str = ".dvcignore";

/// The patterns that hold in a folder. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Ignore {
    /// Outermost first.
    levels: Vec<Arc<Gitignore>>,
}

impl Ignore {
    /// The patterns that hold in `folder`: its own file and those above it, up to the folder that has a `.dvc` folder.
    /// Without such a folder only its own.
    pub fn of_folder(folder: &Path) -> Result<Self> {
        let root = folder
            .ancestors()
            .find(|f| f.join(".dvc").is_dir())
            .unwrap_or(folder);
        let mut chain: Vec<&Path> = folder.ancestors().take_while(|f| f.starts_with(root)).collect();
        chain.reverse();
        let mut ignore = Self::default();
        for folder in chain {
            if folder.join(IGNORE_FILE).is_file() {
                ignore = ignore.with_file_of(folder)?;
            }
        }
        Ok(ignore)
    }

    /// These patterns and those of the ignore file that is in `folder`.
    pub fn with_file_of(&self, folder: &Path) -> Result<Self> {
        let path = folder.join(IGNORE_FILE);
        let mut builder = GitignoreBuilder::new(folder);
        let bad = |source: ignore::Error| Error::BadIgnore {
            path: path.clone(),
            reason: source.to_string(),
        };
        let text = fs::read(&path)?;
        let text = String::from_utf8_lossy(&text);
        for line in text.trim_start_matches('\u{feff}').lines() {
            builder
                .add_line(Some(path.clone()), &literal_braces(line))
                .map_err(bad)?;
        }
        let mut levels = self.levels.clone();
        levels.push(Arc::new(builder.build().map_err(bad)?));
        Ok(Self { levels })
    }

    /// Whether a path found while walking (so that its folders are not ignored) is ignored.
    pub fn excludes(&self, path: &Path, folder: bool) -> bool {
        if path
            .file_name()
            .and_then(|n| n.to_str())
            .is_some_and(names::is_reserved)
        {
            return true;
        }
        for level in self.levels.iter().rev() {
            match level.matched(path, folder) {
                Match::None => {}
                Match::Ignore(_) => return true,
                Match::Whitelist(_) => return false,
            }
        }
        false
    }

    /// Whether a path below `root`, or one of its folders below `root`, is ignored.
    pub fn excludes_below(&self, root: &Path, path: &Path, folder: bool) -> bool {
        let below = path.ancestors().take_while(|p| *p != root && p.starts_with(root));
        below
            .enumerate()
            .any(|(depth, p)| self.excludes(p, folder || depth > 0))
    }
}

/// A pattern in which braces stand for themselves, as they do for DVC and git.
fn literal_braces(line: &str) -> String {
    let mut literal = String::with_capacity(line.len());
    let (mut is_escaped, mut in_class) = (false, false);
    for character in line.chars() {
        let is_brace = matches!(character, '{' | '}');
        if is_brace && !is_escaped && !in_class {
            literal.push('\\');
        }
        if !is_escaped {
            in_class = (in_class && character != ']') || (!in_class && character == '[');
        }
        is_escaped = character == '\\' && !is_escaped;
        literal.push(character);
    }
    literal
}

#[cfg(test)]
mod tests {
    use fs_err as fs;

    use super::{Ignore, literal_braces};

    #[test]
    fn braces_stand_for_themselves_and_nothing_else_changes() {
        for (line, expected) in [
            ("f.{exr,tif}", "f.\\{exr,tif\\}"),
            ("\\{a}", "\\{a\\}"),
            ("[{a}]{b", "[{a}]\\{b"),
            ("\\[{", "\\[\\{"),
            ("# {comment}", "# \\{comment\\}"),
            ("*.bak", "*.bak"),
        ] {
            assert_eq!(literal_braces(line), expected, "{line}");
        }
    }

    #[test]
    fn deeper_files_win_and_version_control_is_always_ignored() {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path();
        fs::create_dir_all(root.join(".dvc")).expect("made");
        fs::create_dir_all(root.join("asset/sub")).expect("made");
        fs::write(root.join(".dvcignore"), "# comment\n*.bak\ntmp/\n").expect("written");
        fs::write(root.join("asset/.dvcignore"), "!keep.bak\n/only_here\n").expect("written");
        let ignore = Ignore::of_folder(&root.join("asset")).expect("read");
        let asset = root.join("asset");
        for (path, is_folder, expected) in [
            ("a.bak", false, true),
            ("sub/a.bak", false, true),
            ("keep.bak", false, false),
            ("only_here", false, true),
            ("sub/only_here", false, false),
            ("tmp", true, true),
            ("tmp", false, false),
            (".git", true, true),
            ("sub/.dvc", true, true),
            (".gitignore", false, false),
        ] {
            assert_eq!(ignore.excludes(&asset.join(path), is_folder), expected, "{path}");
        }
        assert!(ignore.excludes_below(&asset, &asset.join("tmp/deep/file"), false));
        assert!(!ignore.excludes_below(&asset, &asset.join("sub/deep/file"), false));
    }
}
