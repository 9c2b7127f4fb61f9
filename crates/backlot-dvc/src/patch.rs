//! Changing a pointer in place, so that comments and layout of a person stay, as DVC keeps them.
//!
//! Patch and prove: lines of the old text are replaced, and the result counts only if it parses to exactly the wanted
//! pointer; otherwise the file is rewritten. So a patch can lose nothing but layout. Deliberately absent: a YAML
//! editor; files in any but DVC's own block style are rewritten.

use std::path::Path;

use backlot_store::ObjectId;

use crate::pointer::{Out, Pointer};

/// The text of `new`, keeping as much of `old` as possible.
pub fn updated_text(path: &Path, old: &str, new: &Pointer) -> String {
    let canonical = new.to_text();
    let Ok(before) = Pointer::parse(path, old) else {
        return canonical;
    };
    if before == *new {
        return old.to_owned();
    }
    if before.to_text() == old {
        return canonical;
    }
    match patched(old, new) {
        Some(text) if Pointer::parse(path, &text).is_ok_and(|parsed| parsed == *new) => text,
        _ => canonical,
    }
}

fn patched(old: &str, new: &Pointer) -> Option<String> {
    let [out] = new.outs.as_slice() else { return None };
    let mut lines: Vec<String> = old.lines().map(str::to_owned).collect();
    let outs = lines.iter().position(|line| line.trim_end() == "outs:")?;
    let first = outs + 1;
    let end = first
        + lines[first..]
            .iter()
            .position(|l| !l.starts_with(['-', ' ', '#']))
            .unwrap_or(lines.len() - first);
    for (key, value) in wanted(out) {
        let at = (first..end).find(|i| is_entry(&lines[*i], "- ", key) || is_entry(&lines[*i], "  ", key));
        match (at, value) {
            (Some(at), Some(value)) => set_value(&mut lines[at], key, &value),
            (None, None) => {}
            _ => return None,
        }
    }
    if let Some(proof) = out.blake3() {
        let of = out.is_proof_bound().then(|| out.md5.map(quoted)).flatten();
        set_proof(&mut lines, (first, end), &proof.to_hex(), of.as_deref())?;
    }
    Some(lines.join("\n") + "\n")
}

/// The values that adding content changes, in the form they have as plain YAML.
fn wanted(out: &Out) -> [(&'static str, Option<String>); 4] {
    [
        ("md5", out.md5.map(quoted)),
        ("size", out.size.map(|n| n.to_string())),
        ("nfiles", out.nfiles.map(|n| n.to_string())),
        ("isexec", out.isexec.then(|| "true".to_owned())),
    ]
}

/// The name of content as plain YAML: in quotes where it could be read as a number.
fn quoted(id: ObjectId) -> String {
    let text = id.to_string();
    let number = !id.tree && text.chars().all(|c| c.is_ascii_digit() || c == 'e');
    if number { format!("'{text}'") } else { text }
}

fn is_entry(line: &str, indent: &str, key: &str) -> bool {
    line.strip_prefix(indent)
        .and_then(|l| l.strip_prefix(key))
        .is_some_and(|rest| rest.starts_with(':'))
}

fn set_value(line: &mut String, key: &str, value: &str) {
    let comment = line
        .find(" #")
        .map(|at| line[at..].to_owned())
        .unwrap_or_default();
    let colon = line.find(key).map_or(0, |at| at + key.len());
    line.truncate(colon);
    line.push_str(": ");
    line.push_str(value);
    line.push_str(&comment);
}

fn set_proof(
    lines: &mut Vec<String>,
    (first, end): (usize, usize),
    hex: &str,
    of: Option<&str>,
) -> Option<()> {
    let find = |lines: &[String], from: usize, indent: &str, key: &str| {
        (from..end).find(|i| is_entry(&lines[*i], indent, key))
    };
    let table_line = "    backlot:".to_owned();
    let entries = |hex: &str| {
        let of = of.map(|of| format!("      md5: {of}"));
        std::iter::once(format!("      blake3: {hex}")).chain(of)
    };
    let Some(meta) = find(lines, first, "  ", "meta") else {
        let fresh = ["  meta:".to_owned(), table_line].into_iter().chain(entries(hex));
        lines.splice(end..end, fresh);
        return Some(());
    };
    if lines[meta].trim_end() != "  meta:" {
        return None;
    }
    let Some(table) = find(lines, meta, "    ", "backlot") else {
        let fresh = std::iter::once(table_line).chain(entries(hex));
        lines.splice(meta + 1..=meta, fresh);
        return Some(());
    };
    match (
        find(lines, table, "      ", "blake3"),
        find(lines, table, "      ", "md5"),
    ) {
        (None, None) => drop(lines.splice(table + 1..=table, entries(hex))),
        (Some(at), found) => {
            set_value(&mut lines[at], "blake3", hex);
            match (found, of) {
                (Some(at), Some(of)) => set_value(&mut lines[at], "md5", of),
                (None, Some(of)) => lines.insert(at + 1, format!("      md5: {of}")),
                (_, None) => {}
            }
        }
        (None, Some(_)) => return None,
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use backlot_core::Blake3;
    use fs_err as fs;

    use super::updated_text;
    use crate::pointer::Pointer;

    fn fixture(name: &str) -> String {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/dvc/pointers");
        fs::read_to_string(format!("{folder}/{name}")).expect("readable")
    }

    #[test]
    fn a_pointer_with_comments_keeps_them_as_dvc_does() {
        let path = Path::new("frames.dvc");
        let (before, after) = (fixture("annotated-before.dvc"), fixture("annotated-after.dvc"));
        let new = Pointer::parse(path, &after).expect("parsed");
        let ours = updated_text(path, &before, &new);
        // DVC also normalises the quotes and the flow list of the lines it did not change; we leave those alone.
        let expected = after
            .replace("'00'", "\"00\"")
            .replace("[1, z: null]", "[1, {z: null}]");
        assert_eq!(ours, expected);
    }

    #[test]
    fn a_proof_is_put_in_or_replaced_in_place() {
        let path = Path::new("frames.dvc");
        let before = format!("{}# the end\n", fixture("frames.dvc"));
        let mut new = Pointer::parse(path, &before).expect("parsed");
        new.outs[0].set_blake3(Blake3::from_bytes([1; 32]));
        let text = updated_text(path, &before, &new);
        assert!(text.contains("# the end"), "{text}");
        new.outs[0].set_blake3(Blake3::from_bytes([2; 32]));
        new.outs[0].size = Some(5);
        let text = updated_text(path, &text, &new);
        assert!(
            text.contains("# the end") && text.contains("  size: 5\n") && text.contains("0202"),
            "{text}"
        );
        assert_eq!(updated_text(path, &text, &new), text);
    }

    #[test]
    fn a_layout_we_do_not_understand_is_written_anew() {
        let path = Path::new("a.dvc");
        let old = "outs: [{md5: d41d8cd98f00b204e9800998ecf8427e, hash: md5, path: a}]\n";
        let mut new = Pointer::parse(path, old).expect("parsed");
        new.outs[0].size = Some(1);
        assert_eq!(updated_text(path, old, &new), new.to_text());
    }
}
