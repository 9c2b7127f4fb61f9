//! The cost of versions: which stored bytes they share, and which are unique.

use std::collections::{HashMap, HashSet};

use serde::{Deserialize, Serialize};

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

/// The usage of one group of files (a version of an asset).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
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
    /// Bytes on the remote that no earlier group needed: its cost when it was added.
    pub added: u64,
    /// Bytes on the remote that no other group needs: what would be free without this one.
    pub exclusive: u64,
}

/// A group of files; those that are not on the remote are `None`.
#[derive(Debug)]
pub(crate) struct Group<'a> {
    pub(crate) files: Vec<Option<&'a FileParts>>,
    /// Whether it is to be told what it takes. The sizes of others' parts need not be known.
    pub(crate) asked: bool,
}

impl Group<'_> {
    fn parts(&self) -> impl Iterator<Item = &Part> {
        self.files.iter().copied().flatten().flat_map(|file| &file.parts)
    }
}

/// Account for the groups that are asked about, against all in their order.
pub(crate) fn account(groups: &[Group<'_>]) -> Vec<Option<Usage>> {
    // Which group had a unit first, and whether others have it too. Units that nobody asks about are passed over.
    let asked = groups.iter().filter(|group| group.asked).flat_map(Group::parts);
    let mut owners: HashMap<Unit, Option<(usize, bool)>> = asked.map(|part| (part.unit, None)).collect();
    for (number, group) in groups.iter().enumerate() {
        for part in group.parts() {
            if let Some(owner) = owners.get_mut(&part.unit) {
                let (first, shared) = owner.get_or_insert((number, false));
                *shared |= *first != number;
            }
        }
    }
    let numbered = groups.iter().enumerate();
    numbered
        .map(|(number, group)| group.asked.then(|| usage_of(number, group, &owners)))
        .collect()
}

fn usage_of(number: usize, group: &Group<'_>, owners: &HashMap<Unit, Option<(usize, bool)>>) -> Usage {
    let mut usage = Usage::default();
    let mut seen = HashSet::new();
    for file in &group.files {
        usage.files += 1;
        let Some(file) = file else {
            usage.missing += 1;
            continue;
        };
        usage.logical += file.size;
        for part in file.parts.iter().filter(|part| seen.insert(part.unit)) {
            usage.unique += part.raw;
            usage.stored += part.stored;
            let Some((first, shared)) = owners.get(&part.unit).copied().flatten() else {
                continue;
            };
            if first == number {
                usage.added += part.stored;
                usage.exclusive += if shared { 0 } else { part.stored };
            }
        }
    }
    usage
}

#[cfg(test)]
mod tests {
    use super::{FileParts, Group, Part, account};

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
        let groups = |asked: [bool; 2]| {
            [
                Group {
                    files: vec![Some(&first), None],
                    asked: asked[0],
                },
                Group {
                    files: vec![Some(&second)],
                    asked: asked[1],
                },
            ]
        };
        let usage = account(&groups([true, true]));
        let (one, two) = (usage[0].expect("asked"), usage[1].expect("asked"));
        assert_eq!((one.files, one.missing, one.logical), (2, 1, 40));
        assert_eq!(
            (one.unique, one.stored, one.added, one.exclusive),
            (30, 15, 15, 5)
        );
        assert_eq!((two.stored, two.added, two.exclusive), (17, 7, 7));
        // Asked about one only, it is told the same of it.
        assert_eq!(account(&groups([true, false])), [Some(one), None]);
        assert_eq!(account(&groups([false, true])), [None, Some(two)]);
    }
}
