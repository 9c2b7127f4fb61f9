//! Where things lie in an environment.
//!
//! Invariant: every path is inside [`Layout::root`]; scripts name `final_root`, where the tree will be when it is used.

use std::path::{Path, PathBuf};

use backlot_core::RelPath;

/// The shape of an environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// The tree.
    pub root: PathBuf,
    /// Where the tree will be when it is used; scripts name it.
    pub final_root: PathBuf,
    /// Its site-packages.
    pub purelib: RelPath,
    /// The interpreter inside the environment, relative to it; none in a plain tree, which gets no scripts.
    pub python: Option<RelPath>,
}

fn fixed(path: &str) -> RelPath {
    RelPath::parse(path).expect("a fixed relative path")
}

impl Layout {
    /// A plain tree without an interpreter: `lib/site-packages`.
    pub fn plain(root: &Path) -> Self {
        Self {
            root: root.to_path_buf(),
            final_root: root.to_path_buf(),
            purelib: fixed("lib/site-packages"),
            python: None,
        }
    }

    /// An environment of a Python version, `3.11`.
    pub fn environment(root: &Path, final_root: &Path, python: &str) -> Self {
        Self {
            root: root.to_path_buf(),
            final_root: final_root.to_path_buf(),
            purelib: fixed(&format!("lib/python{python}/site-packages")),
            python: Some(fixed("bin/python")),
        }
    }

    /// The same shape, in a tree that is being prepared elsewhere.
    #[must_use]
    pub fn at(&self, root: &Path) -> Self {
        Self {
            root: root.to_path_buf(),
            ..self.clone()
        }
    }

    /// The folder that packages are in.
    pub fn site_packages(&self) -> PathBuf {
        self.purelib.to_path(&self.root)
    }

    /// The folder of scripts, relative to the root.
    pub(crate) fn scripts() -> RelPath {
        fixed("bin")
    }

    /// `../../../bin/x` for a path of the tree outside site-packages, as RECORD has it.
    pub(crate) fn record_path(&self, path: &RelPath) -> String {
        if path.is_within(&self.purelib) {
            return path.as_str()[self.purelib.as_str().len() + 1..].to_owned();
        }
        format!("{}{path}", "../".repeat(self.purelib.parts().count()))
    }

    /// The path in the tree that a RECORD path means; `None` if it leads out of the tree.
    pub fn tree_path(&self, record: &str) -> Option<RelPath> {
        let mut parts: Vec<&str> = self.purelib.parts().collect();
        for part in record.split('/') {
            match part {
                ".." => {
                    parts.pop()?;
                }
                "." | "" => return None,
                part => parts.push(part),
            }
        }
        RelPath::parse(&parts.join("/")).ok()
    }
}
