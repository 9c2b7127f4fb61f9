//! Edits of `dvc.yaml` by lines: stages added, removed, frozen.
//!
//! Invariants: only lines of the stage that is meant change, so that comments, order and spelling of all others stay; what comes of an edit is
//! read again and must match the request exactly, else nothing is changed. Deliberately absent: stages in braces (`{cmd: ...}`) and edits of a
//! single dependency, which are refused or left to an editor.

use super::error::{PipelineError, Result, Spot};
use super::value::{Map, Value};
use super::{schema, yaml_read};
use crate::yaml;

/// A change of one stage of a file.
#[derive(Clone, Debug)]
pub enum StageEdit {
    /// Put a stage in: at the end, or, if it may be replaced, in the place of the one that has its name.
    Add {
        /// The keys of the stage, in their order.
        definition: Map,
        /// Whether one of the same name is replaced.
        replace: bool,
    },
    /// Take a stage, or a group of stages, out.
    Remove,
    /// Never run it, or run it again.
    Freeze(bool),
}

/// The text of a `dvc.yaml` after an edit; nothing at all is an empty file. `file` is what errors call it.
pub fn edit_stage(file: &str, text: &str, name: &str, edit: &StageEdit) -> Result<String> {
    let read = |text: &str| yaml_read::read(text).map_err(|problem| PipelineError::syntax(file, problem));
    let before = read(text)?;
    let document = before.as_map().cloned().unwrap_or_default();
    let stages = document
        .get("stages")
        .and_then(Value::as_map)
        .cloned()
        .unwrap_or_default();
    let known = stages.entry(name);
    if known.is_none() && !matches!(edit, StageEdit::Add { .. }) {
        let names = stages.iter().filter_map(|entry| entry.key.as_str());
        return Err(PipelineError::UnknownTarget {
            target: name.to_owned(),
            file: Some(file.to_owned()),
            nearest: backlot_core::text::nearest(name, names).map(ToOwned::to_owned),
        });
    }
    let line = known.map_or(0, |entry| entry.line);
    let refuse = |reason: &str| PipelineError::Edit {
        spot: Spot::new(file, line),
        stage: name.to_owned(),
        reason: reason.to_owned(),
    };
    if let (Some(_), StageEdit::Add { replace: false, .. }) = (known, edit) {
        return Err(PipelineError::StageExists {
            spot: Spot::new(file, line),
            stage: name.to_owned(),
        });
    }
    let definition = known.and_then(|entry| entry.value.as_map());
    if let StageEdit::Freeze(_) = edit
        && definition.is_none_or(|definition| definition.get("foreach").is_some())
    {
        return Err(refuse("`frozen` of a group belongs under its `do`"));
    }
    let mut lines = Lines::of(text);
    let wanted = wanted(&document, &stages, name, edit);
    let done = match edit {
        StageEdit::Add { definition, .. } => lines.add(&document, &stages, name, definition),
        StageEdit::Remove => lines.remove(&document, &stages, name),
        StageEdit::Freeze(frozen) => lines.freeze(&stages, name, *frozen),
    };
    done.ok_or_else(|| refuse("it is not on separate lines"))?;
    let text = lines.text();
    match yaml_read::read(&text) {
        Ok(after) if after == wanted => {}
        _ => return Err(refuse("it shares lines with others")),
    }
    schema::check(file, &wanted)?;
    Ok(text)
}

/// The expected contents of the file after an edit.
fn wanted(document: &Map, stages: &Map, name: &str, edit: &StageEdit) -> Value {
    let mut stages = stages.clone();
    match edit {
        StageEdit::Add { definition, .. } => stages.put(name, Value::map(definition.clone())),
        StageEdit::Remove => drop(stages.remove(name)),
        StageEdit::Freeze(frozen) => {
            let mut definition = stages
                .get(name)
                .and_then(Value::as_map)
                .cloned()
                .unwrap_or_default();
            if *frozen {
                definition.put("frozen", true);
            } else {
                definition.remove("frozen");
            }
            stages.put(name, Value::map(definition));
        }
    }
    let mut document = document.clone();
    document.put("stages", Value::map(stages));
    Value::map(document)
}

/// A text as lines with their ends.
struct Lines {
    lines: Vec<String>,
    /// How its lines end.
    end: &'static str,
}

impl Lines {
    fn of(text: &str) -> Self {
        Self {
            lines: text.split_inclusive('\n').map(ToOwned::to_owned).collect(),
            end: if text.contains("\r\n") { "\r\n" } else { "\n" },
        }
    }

    fn text(&self) -> String {
        self.lines.concat()
    }

    /// Where the block of a key begins and ends, without blank lines and comments that follow it. `None` if the key does not stand at the
    /// beginning of its line.
    fn block(&self, map: &Map, key: &str) -> Option<(usize, usize)> {
        let begin = map.entry(key)?.line.checked_sub(1)?;
        let own = self.lines.get(begin)?;
        let spellings = [key.to_owned(), format!("'{key}'"), format!("\"{key}\"")];
        let is_key = |spelling: &String| {
            let rest = own.trim_start().strip_prefix(spelling.as_str());
            rest.is_some_and(|rest| rest.trim_start().starts_with(':'))
        };
        if !spellings.iter().any(is_key) {
            return None;
        }
        let indent = indent(own);
        let mut end = begin + 1;
        for (at, line) in self.lines.iter().enumerate().skip(begin + 1) {
            let content = line.trim();
            if content.is_empty() {
                continue;
            }
            if self.indent_of(at) > indent {
                end = at + 1;
            } else if !content.starts_with('#') {
                break;
            }
        }
        Some((begin, end))
    }

    fn indent_of(&self, at: usize) -> usize {
        self.lines.get(at).map_or(0, |line| indent(line))
    }

    /// The indent of the first key in a block; `None` if there is none on a line of its own.
    fn inner_indent(&self, (begin, end): (usize, usize)) -> Option<usize> {
        let inner = self.lines.get(begin + 1..end)?;
        let keys = inner
            .iter()
            .filter(|line| !line.trim().is_empty() && !line.trim().starts_with('#'));
        keys.map(|line| indent(line)).next()
    }

    /// Put lines in before a line.
    fn insert(&mut self, at: usize, text: &str) {
        if let Some(last) = at.checked_sub(1).and_then(|before| self.lines.get_mut(before))
            && !last.ends_with('\n')
        {
            last.push_str(self.end);
        }
        let end = self.end;
        let lines = text.lines().map(|line| format!("{line}{end}"));
        self.lines.splice(at..at, lines.collect::<Vec<_>>());
    }

    fn add(&mut self, document: &Map, stages: &Map, name: &str, definition: &Map) -> Option<()> {
        let mut one = Map::default();
        one.put(name, Value::map(definition.clone()));
        let text = yaml::value_text(&Value::map(one));
        let indented = |indent: usize| -> String {
            let line = |line: &str| {
                if line.is_empty() {
                    "\n".to_owned()
                } else {
                    format!("{:indent$}{line}\n", "")
                }
            };
            text.lines().map(line).collect()
        };
        if stages.entry(name).is_some() {
            let (begin, end) = self.block(stages, name)?;
            let indent = self.indent_of(begin);
            self.lines.drain(begin..end);
            self.insert(begin, &indented(indent));
            return Some(());
        }
        if document.entry("stages").is_none() {
            self.insert(self.lines.len(), "stages:");
            self.insert(self.lines.len(), &indented(2));
            return Some(());
        }
        let block = self.block(document, "stages")?;
        if stages.is_empty() {
            self.set_value(block.0, "")?;
        }
        let indent = self
            .inner_indent(block)
            .filter(|_| !stages.is_empty())
            .unwrap_or(2);
        self.insert(block.1, &indented(indent));
        Some(())
    }

    fn remove(&mut self, document: &Map, stages: &Map, name: &str) -> Option<()> {
        let (begin, mut end) = self.block(stages, name)?;
        let is_blank = |line: Option<&String>| line.is_some_and(|line| line.trim().is_empty());
        let before = begin.checked_sub(1);
        // Of the blank lines on both sides, those behind go.
        if before.is_some_and(|before| is_blank(self.lines.get(before))) {
            while is_blank(self.lines.get(end)) {
                end += 1;
            }
        }
        self.lines.drain(begin..end);
        if stages.len() == 1 {
            let (at, _) = self.block(document, "stages")?;
            self.set_value(at, " {}")?;
        }
        Some(())
    }

    /// Put a value in behind the key of a line that has nothing there, or braces with nothing in them; a comment stays.
    fn set_value(&mut self, at: usize, value: &str) -> Option<()> {
        let line = self.lines.get_mut(at)?;
        let (key, rest) = line.split_once(':')?;
        let rest = rest.trim();
        let rest = rest.strip_prefix("{}").unwrap_or(rest).trim_start();
        if !rest.is_empty() && !rest.starts_with('#') {
            return None;
        }
        let comment = if rest.is_empty() {
            String::new()
        } else {
            format!("  {rest}")
        };
        *line = format!("{key}:{value}{comment}{}", self.end);
        Some(())
    }

    fn freeze(&mut self, stages: &Map, name: &str, frozen: bool) -> Option<()> {
        let block = self.block(stages, name)?;
        let indent = self.inner_indent(block)?;
        let definition = stages.get(name)?.as_map()?;
        let old = match definition.entry("frozen") {
            None => None,
            Some(_) => Some(self.block(definition, "frozen")?),
        };
        match (old, frozen) {
            (None, false) => {}
            (None, true) => self.insert(block.1, &format!("{:indent$}frozen: true", "")),
            (Some((begin, end)), false) => drop(self.lines.drain(begin..end)),
            (Some((begin, _)), true) => {
                let line = self.lines.get_mut(begin)?;
                let (key, rest) = line.split_once(':')?;
                let comment = rest.find('#').map_or("", |at| rest[at..].trim_end());
                let gap = if comment.is_empty() { "" } else { "  " };
                *line = format!("{key}: true{gap}{comment}{}", self.end);
            }
        }
        Some(())
    }
}

fn indent(line: &str) -> usize {
    line.len() - line.trim_start_matches(' ').len()
}

#[cfg(test)]
mod tests {
    use backlot_core::Diagnostic as _;

    use super::{StageEdit, edit_stage};
    use crate::pipeline::{Map, Value};

    const FILE: &str = "# How it is made.\nvars: [v.yaml]\n\nstages:\n  # First.\n  a:   # the first\n    cmd: |\n      one\n\n      two\n    deps:\n    - x   # read\n  # Second.\n  \"b\":\n    frozen: false   # not yet\n    cmd: b\n\n  c: {cmd: c}\nmetrics: [m.json]   # kept\n";

    fn edit(text: &str, name: &str, edit: &StageEdit) -> String {
        edit_stage("dvc.yaml", text, name, edit).expect(name)
    }

    fn definition() -> Map {
        let mut map = Map::default();
        map.put("cmd", "make \"it\"");
        map.put("deps", Value::list(vec!["d".into()]));
        map
    }

    #[test]
    fn only_lines_of_the_stage_change() {
        let frozen = edit(FILE, "a", &StageEdit::Freeze(true));
        assert_eq!(frozen, FILE.replace("# read\n", "# read\n    frozen: true\n"));
        assert_eq!(edit(&frozen, "a", &StageEdit::Freeze(false)), FILE);
        assert_eq!(
            edit(FILE, "b", &StageEdit::Freeze(true)),
            FILE.replace("false   #", "true  #")
        );
        assert_eq!(edit(FILE, "a", &StageEdit::Freeze(false)), FILE);
        let removed = edit(FILE, "b", &StageEdit::Remove);
        assert_eq!(
            removed,
            FILE.replace("  \"b\":\n    frozen: false   # not yet\n    cmd: b\n", "")
        );
        let removed = edit(FILE, "c", &StageEdit::Remove);
        assert_eq!(removed, FILE.replace("  c: {cmd: c}\n", ""));
        let added = edit(
            FILE,
            "d",
            &StageEdit::Add {
                definition: definition(),
                replace: false,
            },
        );
        let lines = "  d:\n    cmd: make \"it\"\n    deps:\n    - d\n";
        assert_eq!(added, FILE.replace("metrics:", &format!("{lines}metrics:")));
        let replaced = edit(
            FILE,
            "a",
            &StageEdit::Add {
                definition: definition(),
                replace: true,
            },
        );
        assert!(
            replaced.starts_with(
                "# How it is made.\nvars: [v.yaml]\n\nstages:\n  # First.\n  a:\n    cmd: make \"it\"\n"
            ),
            "{replaced}"
        );
        assert!(
            replaced.ends_with(&FILE[FILE.find("  # Second.").expect("there")..]),
            "{replaced}"
        );
        let windows = FILE.replace('\n', "\r\n");
        let frozen = edit(&windows, "a", &StageEdit::Freeze(true));
        assert_eq!(
            frozen,
            windows.replace("# read\r\n", "# read\r\n    frozen: true\r\n")
        );
    }

    #[test]
    fn files_with_no_stages_get_their_first_and_lose_their_last() {
        let add = StageEdit::Add {
            definition: definition(),
            replace: false,
        };
        let own = "stages:\n  d:\n    cmd: make \"it\"\n    deps:\n    - d\n";
        assert_eq!(edit("", "d", &add), own);
        assert_eq!(edit("metrics: []", "d", &add), format!("metrics: []\n{own}"));
        assert_eq!(edit("stages:\n", "d", &add), own);
        let empty = edit(own, "d", &StageEdit::Remove);
        assert_eq!(empty, "stages: {}\n");
        assert_eq!(edit(&empty, "d", &add), own);
        assert_eq!(
            edit("# top\nstages:   # mine\n", "d", &add),
            own.replace("stages:", "# top\nstages:  # mine")
        );
    }

    #[test]
    fn what_cannot_be_edited_is_refused() {
        let freeze = StageEdit::Freeze(true);
        for (text, name, edit, code) in [
            ("stages: {a: {cmd: x}}\n", "a", &freeze, "pipeline::edit"),
            ("stages:\n  a: {cmd: x}\n", "a", &freeze, "pipeline::edit"),
            (
                "stages:\n  a:\n    foreach: [1]\n    do:\n      cmd: x\n",
                "a",
                &freeze,
                "pipeline::edit",
            ),
            (
                "stages:\n  a: &s\n    cmd: x\n  b: *s\n",
                "a",
                &StageEdit::Remove,
                "pipeline::edit",
            ),
            (FILE, "z", &freeze, "pipeline::unknown_target"),
            (
                FILE,
                "a",
                &StageEdit::Add {
                    definition: definition(),
                    replace: false,
                },
                "pipeline::stage_exists",
            ),
            (
                FILE,
                "z",
                &StageEdit::Add {
                    definition: Map::default(),
                    replace: false,
                },
                "pipeline::schema",
            ),
        ] {
            let error = edit_stage("dvc.yaml", text, name, edit).expect_err(text);
            assert_eq!(error.code(), code, "{text}");
        }
    }
}
