//! Tracked paths in `.gitignore`, as DVC keeps them: git has the pointers, and not what they stand for.
//!
//! Invariant: only the line of the path itself is added or removed; all others are somebody's.

use std::path::Path;

use backlot_core::file;

use crate::error::{Error, Result};

/// Name a tracked path in the `.gitignore` beside it, unless it is there already.
pub(crate) fn git_ignore(path: &Path) -> Result<()> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name().and_then(|n| n.to_str())) else {
        return Ok(());
    };
    let ignore = folder.join(".gitignore");
    let mut text = text_of(&ignore)?.unwrap_or_default();
    let line = line_of(name);
    if text.lines().any(|l| l.trim_end() == line) {
        return Ok(());
    }
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text.push_str(&line);
    text.push('\n');
    Ok(file::write(&ignore, text.as_bytes())?)
}

/// Take a path that is no longer tracked out of the `.gitignore` beside it. One that is empty then goes.
pub fn git_unignore(path: &Path) -> Result<()> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name().and_then(|n| n.to_str())) else {
        return Ok(());
    };
    let ignore = folder.join(".gitignore");
    let Some(text) = text_of(&ignore)? else {
        return Ok(());
    };
    let line = line_of(name);
    let kept: String = text
        .split_inclusive('\n')
        .filter(|l| l.trim_end() != line)
        .collect();
    if kept == text {
        return Ok(());
    }
    if kept.is_empty() {
        return Ok(file::remove(&ignore)?);
    }
    Ok(file::write(&ignore, kept.as_bytes())?)
}

fn text_of(ignore: &Path) -> Result<Option<String>> {
    let bytes = file::read_if_exists(ignore)?;
    let text = bytes.map(String::from_utf8).transpose();
    text.map_err(|_| Error::BadIgnore {
        path: ignore.to_path_buf(),
        reason: "not valid UTF-8".to_owned(),
    })
}

/// The line that names a file or folder beside the ignore file.
fn line_of(name: &str) -> String {
    format!("/{}", escape_pattern(name))
}

/// A name as a pattern that matches only it.
fn escape_pattern(name: &str) -> String {
    let mut pattern = String::with_capacity(name.len());
    for c in name.chars() {
        if matches!(c, '*' | '?' | '[' | ']') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    let trailing = pattern.len() - pattern.trim_end_matches(' ').len();
    pattern.truncate(pattern.len() - trailing);
    pattern.push_str(&"\\ ".repeat(trailing));
    pattern
}
