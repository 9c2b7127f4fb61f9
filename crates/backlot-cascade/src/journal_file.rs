//! A journal as a file of JSON lines.
//!
//! Invariant: the file only grows; an entry is one write of one line, followed by a sync. A line that a crash tore stays, is
//! closed by the next writer and skipped by readers: what it would have said is found by looking effects up. Many processes
//! of one machine may append at once. Deliberately absent: rotation; a journal has a few lines a node.

use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use backlot_core::FileError;
use backlot_core::file::{make_folder, sync_folder};
use fs_err as fs;

use crate::error::Result;
use crate::journal::{Entry, Journal, Loaded};

/// A journal in a file.
#[derive(Debug)]
pub struct FileJournal {
    path: PathBuf,
    file: Mutex<fs::File>,
}

impl FileJournal {
    /// Open a journal; it and its folder are made if absent.
    pub fn open(path: &Path) -> Result<Self> {
        let folder = path.parent().unwrap_or(Path::new("."));
        make_folder(folder)?;
        let is_new = !path.exists();
        let mut options = fs::OpenOptions::new();
        let file = options
            .create(true)
            .append(true)
            .read(true)
            .open(path)
            .map_err(FileError::from)?;
        if is_new {
            sync_folder(folder)?;
        }
        Ok(Self {
            path: path.to_owned(),
            file: Mutex::new(file),
        })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Whether the file ends within a line.
fn is_torn(file: &mut fs::File) -> std::io::Result<bool> {
    if file.seek(SeekFrom::End(0))? == 0 {
        return Ok(false);
    }
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    Ok(last != *b"\n")
}

impl Journal for FileJournal {
    fn append(&self, entry: &Entry) -> Result<()> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let mut line = Vec::new();
        // Another process may have died within a line since the last append. An empty line more does no harm.
        if is_torn(&mut file).map_err(FileError::from)? {
            line.push(b'\n');
        }
        let json = serde_json::to_string(entry).expect("an entry has no keys but texts");
        line.extend_from_slice(json.as_bytes());
        line.push(b'\n');
        file.write_all(&line).map_err(FileError::from)?;
        file.sync_data().map_err(FileError::from)?;
        Ok(())
    }

    fn load(&self, from: u64) -> Result<Loaded> {
        let mut bytes = Vec::new();
        {
            let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
            file.seek(SeekFrom::Start(from)).map_err(FileError::from)?;
            file.read_to_end(&mut bytes).map_err(FileError::from)?;
        }
        // The rest of a line that is not complete may still be on its way: it is read the next time.
        let complete = bytes
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |at| at + 1);
        let mut loaded = Loaded {
            next: from + complete as u64,
            ..Loaded::default()
        };
        let lines = bytes[..complete].split(|byte| *byte == b'\n');
        for line in lines.filter(|line| !line.is_empty()) {
            match serde_json::from_slice(line) {
                Ok(entry) => loaded.entries.push(entry),
                Err(_) => loaded.unreadable += 1,
            }
        }
        Ok(loaded)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use backlot_core::Timestamp;
    use fs_err as fs;

    use super::FileJournal;
    use crate::journal::{Entry, Journal as _, JournalEvent, NodeEvent};

    fn entry(number: u64) -> Entry {
        Entry {
            at: Timestamp(number),
            by: "me\nand you".to_owned(),
            event: JournalEvent::Node {
                node: "r/a".parse().expect("valid"),
                token: Some(number),
                what: NodeEvent::Validated,
            },
        }
    }

    #[test]
    fn a_line_torn_at_any_byte_loses_itself_only() {
        let folder = tempfile::tempdir().expect("a folder");
        let whole = serde_json::to_string(&entry(2)).expect("JSON");
        for cut in 0..=whole.len() {
            let path = folder.path().join(format!("{cut}/journal.jsonl"));
            let journal = FileJournal::open(&path).expect("a journal");
            journal.append(&entry(1)).expect("appended");
            let mut torn = fs::OpenOptions::new().append(true).open(&path).expect("there");
            torn.write_all(&whole.as_bytes()[..cut]).expect("written");
            let before = journal.load(0).expect("readable");
            assert_eq!(before.entries, [entry(1)]);
            journal.append(&entry(3)).expect("appended");
            let after = journal.load(before.next).expect("readable");
            // Cut just before its line break, nothing of it is lost.
            let expected = if cut == whole.len() {
                vec![entry(2), entry(3)]
            } else {
                vec![entry(3)]
            };
            assert_eq!(after.entries, expected, "{cut}");
            assert_eq!(after.unreadable, u64::from(cut > 0 && cut < whole.len()), "{cut}");
        }
    }

    #[test]
    fn two_processes_append_to_one_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("journal.jsonl");
        let (one, two) = (
            FileJournal::open(&path).expect("one"),
            FileJournal::open(&path).expect("two"),
        );
        for number in 0..10 {
            let journal = if number % 2 == 0 { &one } else { &two };
            journal.append(&entry(number)).expect("appended");
        }
        let loaded = two.load(0).expect("readable");
        assert_eq!(loaded.entries, (0..10).map(entry).collect::<Vec<_>>());
        assert_eq!(two.load(loaded.next).expect("readable").entries, []);
    }
}
