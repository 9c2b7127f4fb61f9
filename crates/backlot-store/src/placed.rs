//! Which members of tracked files and folders were placed in this workspace, in the stat cache's database.
//!
//! A member that is absent and was here with the content that its manifest names was removed by somebody; one that never was
//! here is unchanged. Invariant: losing the record falls on the safe side, since without it an absent member counts as
//! unchanged. So it holds for one folder only: where the folder that a tracked path lies in was made anew (a clone, another
//! `edit`), nothing is known of the new one. Deliberately absent: what the members are now.

use std::collections::BTreeMap;
use std::path::Path;

use backlot_core::Md5;
use rusqlite::params;

use crate::error::Result;
use crate::stat::{FileStat, StatCache};

pub(crate) const SCHEMA: &str = "CREATE TABLE IF NOT EXISTS placed_in (
    place TEXT NOT NULL PRIMARY KEY, folder TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS placed (
    place TEXT NOT NULL, member TEXT NOT NULL, md5 BLOB NOT NULL,
    PRIMARY KEY (place, member)) WITHOUT ROWID;";

/// Members of one tracked path, by their paths inside it (empty for a single file), with the content they were placed with.
pub type PlacedMembers = BTreeMap<String, Md5>;

impl StatCache {
    /// What was placed of the tracked path `place`; empty if nothing is known.
    pub fn placed(&self, place: &Path) -> Result<PlacedMembers> {
        let (Some(name), Some(folder)) = (place.to_str(), identity_of_parent(place)) else {
            return Ok(PlacedMembers::new());
        };
        let connection = self.connection();
        let read = || -> rusqlite::Result<PlacedMembers> {
            let mut query = connection.prepare_cached(
                "SELECT member, md5 FROM placed JOIN placed_in USING (place) WHERE place = ?1 AND folder = ?2",
            )?;
            let rows = query.query_map(params![name, folder], |row| {
                Ok((row.get(0)?, Md5::from_bytes(row.get::<_, [u8; 16]>(1)?)))
            })?;
            rows.collect()
        };
        read().map_err(|e| self.failed(e))
    }

    /// Replace what is known of the tracked path `place`. Only differences are written, in one transaction.
    pub fn set_placed(&self, place: &Path, members: &PlacedMembers) -> Result<()> {
        let (Some(name), Some(folder)) = (place.to_str(), identity_of_parent(place)) else {
            return Ok(());
        };
        let before = self.placed(place)?;
        if before == *members {
            return Ok(());
        }
        let mut connection = self.connection();
        let mut write = || -> rusqlite::Result<()> {
            let transaction = connection.transaction()?;
            if before.is_empty() {
                // They may be of an earlier folder.
                transaction.execute("DELETE FROM placed WHERE place = ?1", [name])?;
                transaction.execute(
                    "INSERT OR REPLACE INTO placed_in VALUES (?1, ?2)",
                    params![name, folder],
                )?;
            }
            {
                let mut delete =
                    transaction.prepare_cached("DELETE FROM placed WHERE place = ?1 AND member = ?2")?;
                for member in before.keys().filter(|member| !members.contains_key(*member)) {
                    delete.execute(params![name, member])?;
                }
                let mut insert =
                    transaction.prepare_cached("INSERT OR REPLACE INTO placed VALUES (?1, ?2, ?3)")?;
                for (member, md5) in members
                    .iter()
                    .filter(|(member, md5)| before.get(*member) != Some(md5))
                {
                    insert.execute(params![name, member, &md5.as_bytes()[..]])?;
                }
            }
            transaction.commit()
        };
        write().map_err(|e| self.failed(e))
    }

    /// Follow a folder that was given another name: what is known of the files in it, and of what was placed there, counts for them under the new one.
    pub fn follow_rename(&self, from: &Path, to: &Path) -> Result<()> {
        let (Some(from), Some(to)) = (from.to_str(), to.to_str()) else {
            return Ok(());
        };
        let mut connection = self.connection();
        let mut write = || -> rusqlite::Result<()> {
            let transaction = connection.transaction()?;
            for (table, column) in [("states", "folder"), ("placed_in", "place"), ("placed", "place")] {
                // `0` is the character after `/`: the folder itself, and all below it.
                let inside = format!("({column} = ?1 OR ({column} > ?1 || '/' AND {column} < ?1 || '0'))");
                transaction.execute(&format!("DELETE FROM {table} WHERE {inside}"), [to])?;
                transaction.execute(
                    &format!(
                        "UPDATE {table} SET {column} = ?2 || substr({column}, length(?1) + 1) WHERE {inside}"
                    ),
                    [from, to],
                )?;
            }
            transaction.commit()
        };
        write().map_err(|e| self.failed(e))
    }
}

/// What tells the folder that a path lies in from another one of the same name, made later.
fn identity_of_parent(place: &Path) -> Option<String> {
    let found = fs_err::metadata(place.parent()?).ok()?;
    let born = found.created().ok();
    let born = born.and_then(|born| born.duration_since(std::time::UNIX_EPOCH).ok());
    let born = born.map(|born| born.as_nanos().to_string()).unwrap_or_default();
    Some(format!("{} {born}", FileStat::of(&found).inode))
}

#[cfg(test)]
mod tests {
    use backlot_core::Md5;

    use super::PlacedMembers;
    use crate::stat::StatCache;

    fn members(list: &[(&str, u8)]) -> PlacedMembers {
        let member = |(name, byte): &(&str, u8)| ((*name).to_owned(), Md5::from_bytes([*byte; 16]));
        list.iter().map(member).collect()
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a person moves the folder away")]
    fn the_record_is_of_one_folder_and_ends_with_it() {
        let top = tempfile::tempdir().expect("a folder");
        let stat = StatCache::open(&top.path().join("state.db")).expect("opened");
        let place = top.path().join("asset/frames");
        fs_err::create_dir(top.path().join("asset")).expect("made");
        assert_eq!(stat.placed(&place).expect("read"), members(&[]));
        stat.set_placed(&place, &members(&[("a", 1), ("b", 2)]))
            .expect("noted");
        let other = top.path().join("asset/frame");
        stat.set_placed(&other, &members(&[("", 9)])).expect("noted");
        assert_eq!(stat.placed(&place).expect("read"), members(&[("a", 1), ("b", 2)]));
        stat.set_placed(&place, &members(&[("b", 3), ("c", 4)]))
            .expect("noted");
        assert_eq!(stat.placed(&place).expect("read"), members(&[("b", 3), ("c", 4)]));
        assert_eq!(stat.placed(&other).expect("read"), members(&[("", 9)]));
        // Another folder of that name: nothing is known of it. The old one is kept, so that no number is used twice.
        fs_err::rename(top.path().join("asset"), top.path().join("old")).expect("moved");
        fs_err::create_dir(top.path().join("asset")).expect("made");
        assert_eq!(stat.placed(&place).expect("read"), members(&[]));
        stat.set_placed(&place, &members(&[("c", 4)])).expect("noted");
        assert_eq!(stat.placed(&place).expect("read"), members(&[("c", 4)]));
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a person moves the folder away")]
    fn the_record_follows_a_folder_that_is_renamed_and_no_other() {
        let top = tempfile::tempdir().expect("a folder");
        let stat = StatCache::open(&top.path().join("state.db")).expect("opened");
        let [table, tables, desk] = ["table", "tables", "desk"].map(|name| top.path().join(name));
        for folder in [&table, &tables] {
            fs_err::create_dir_all(folder.join("src")).expect("made");
            stat.set_placed(&folder.join("src/frames"), &members(&[("a", 1)]))
                .expect("noted");
        }
        fs_err::rename(&table, &desk).expect("moved");
        assert_eq!(stat.placed(&desk.join("src/frames")).expect("read"), members(&[]));
        stat.follow_rename(&table, &desk).expect("followed");
        for folder in [&desk, &tables] {
            assert_eq!(
                stat.placed(&folder.join("src/frames")).expect("read"),
                members(&[("a", 1)]),
                "{}",
                folder.display()
            );
        }
    }
}
