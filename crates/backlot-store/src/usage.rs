//! What versions cost: which stored bytes are shared between them, and which are only theirs.

use std::collections::HashMap;

use serde::Serialize;

/// A stored thing that files can share: a chunk (pack and position) or, in DVC's layout, a whole file.
pub(crate) type Unit = ([u8; 16], u32);

/// A part of a file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part {
    pub(crate) unit: Unit,
    /// Bytes on the remote.
    pub(crate) stored: u64,
    /// Bytes in the file.
    pub(crate) raw: u64,
}

/// The parts of a file.
#[derive(Clone, Debug)]
pub(crate) struct FileParts {
    pub(crate) size: u64,
    pub(crate) parts: Vec<Part>,
}

/// What one group of files (a version of an asset) takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Usage {
    /// Files.
    pub files: u64,
    /// Files that are not on the remote.
    pub missing: u64,
    /// Bytes of the files.
    pub logical: u64,
    /// Bytes of the files without what repeats in them.
    pub unique: u64,
    /// Bytes on the remote that hold them.
    pub stored: u64,
    /// Bytes on the remote that no group before needed: what this one cost when it came.
    pub added: u64,
    /// Bytes on the remote that no other group needs: what would be free without this one.
    pub exclusive: u64,
}

/// Account for groups in their order.
pub(crate) fn account(groups: &[Vec<Option<&FileParts>>]) -> Vec<Usage> {
    // Which group had a unit first, and whether others have it too.
    let mut owners: HashMap<Unit, (usize, bool)> = HashMap::new();
    let mut all = Vec::with_capacity(groups.len());
    for (number, group) in groups.iter().enumerate() {
        let mut usage = Usage::default();
        let mut seen = std::collections::HashSet::new();
        for file in group {
            usage.files += 1;
            let Some(file) = file else {
                usage.missing += 1;
                continue;
            };
            usage.logical += file.size;
            for part in &file.parts {
                if !seen.insert(part.unit) {
                    continue;
                }
                usage.unique += part.raw;
                usage.stored += part.stored;
                let owner = owners.entry(part.unit).or_insert_with(|| {
                    usage.added += part.stored;
                    (number, false)
                });
                owner.1 |= owner.0 != number;
            }
        }
        all.push(usage);
    }
    for (number, group) in groups.iter().enumerate() {
        let mut seen = std::collections::HashSet::new();
        for part in group.iter().flatten().flat_map(|file| &file.parts) {
            let alone = owners
                .get(&part.unit)
                .is_some_and(|owner| *owner == (number, false));
            if alone && seen.insert(part.unit) {
                all[number].exclusive += part.stored;
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::{FileParts, Part, account};

    #[test]
    fn what_is_shared_is_paid_by_the_first_and_freed_by_nobody() {
        let part = |n: u8, stored| Part {
            unit: ([n; 16], 0),
            stored,
            raw: stored * 2,
        };
        let first = FileParts {
            size: 40,
            parts: vec![part(1, 10), part(2, 5), part(1, 10)],
        };
        let second = FileParts {
            size: 30,
            parts: vec![part(1, 10), part(3, 7)],
        };
        let usage = account(&[vec![Some(&first), None], vec![Some(&second)]]);
        assert_eq!((usage[0].files, usage[0].missing, usage[0].logical), (2, 1, 40));
        assert_eq!(
            (
                usage[0].unique,
                usage[0].stored,
                usage[0].added,
                usage[0].exclusive
            ),
            (30, 15, 15, 5)
        );
        assert_eq!((usage[1].stored, usage[1].added, usage[1].exclusive), (17, 7, 7));
    }
}
