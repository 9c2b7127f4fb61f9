//! Public repos, those outside the studio, and the list of what may come from each: `public` and `allow` of `[repos]`.
//!
//! Invariant: every public repo is opened behind a [`backlot_repo::Allowlist`], so a name that is neither on its list nor pinned to it by
//! `[sources]` never leaves the house, whatever is done. Deliberately absent: the gate itself (`backlot-repo`).

use backlot_repo::AllowedName;
use serde::{Deserialize, Serialize};
use toml_edit::{Array, Item, value};

use crate::error::{Result, WorkspaceError};
use crate::workspace::Opened;
use crate::workspace::config::{Config, array_of};

/// The changes to an allowlist.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct AllowReport {
    /// The repo.
    pub repo: String,
    /// The resulting list.
    pub allow: Vec<AllowedName>,
    /// The added entries.
    pub added: Vec<AllowedName>,
    /// The removed entries.
    pub removed: Vec<AllowedName>,
    /// Whether nothing was written.
    pub dry_run: bool,
}

impl Config {
    /// Change the list of a repo in place; comments stay.
    fn set_allowed(&mut self, repo: &str, list: Vec<AllowedName>) {
        if let Some(table) = self.repo_table(repo) {
            match table.get_mut("allow").and_then(Item::as_array_mut) {
                Some(array) => edit(array, &list),
                None => drop(table.insert("allow", value(array_of(&list)))),
            }
        }
        if let Some(entry) = self.repos.iter_mut().find(|entry| entry.name == repo) {
            entry.public = Some(list);
        }
    }
}

/// Drop from an array what is not in the list, append what it lacks.
fn edit(array: &mut Array, list: &[AllowedName]) {
    let read = |value: &toml_edit::Value| value.as_str().and_then(|text| AllowedName::parse(text).ok());
    array.retain(|value| read(value).is_some_and(|known| list.contains(&known)));
    let present: Vec<AllowedName> = array.iter().filter_map(read).collect();
    let prefix_of = |value: &toml_edit::Value| {
        value
            .decor()
            .prefix()
            .and_then(|p| p.as_str())
            .map(ToOwned::to_owned)
    };
    let indent = array
        .get(0)
        .and_then(prefix_of)
        .filter(|prefix| prefix.contains('\n'))
        .and_then(|prefix| prefix.rsplit('\n').next().map(|indent| format!("\n{indent}")));
    for allowed in list.iter().filter(|allowed| !present.contains(allowed)) {
        let Some(indent) = &indent else {
            array.push(allowed.to_string());
            continue;
        };
        // A comment behind the last name stays behind it.
        let behind = array
            .trailing()
            .as_str()
            .unwrap_or_default()
            .trim_end()
            .to_owned();
        let mut added = toml_edit::Value::from(allowed.to_string());
        added.decor_mut().set_prefix(format!("{behind}{indent}"));
        array.push_formatted(added);
        array.set_trailing("\n");
        array.set_trailing_comma(true);
    }
}

impl Opened {
    pub(crate) fn allow(
        &mut self,
        repo: &str,
        names: &[String],
        remove: bool,
        dry_run: bool,
    ) -> Result<AllowReport> {
        self.change(dry_run, |workspace| {
            workspace.change_allowed(repo, names, remove, dry_run)
        })
    }

    fn change_allowed(
        &mut self,
        repo: &str,
        names: &[String],
        remove: bool,
        dry_run: bool,
    ) -> Result<AllowReport> {
        let entry = self.repo_entry(repo)?;
        let Some(mut list) = entry.public.clone() else {
            return Err(WorkspaceError::NotPublic {
                repo: repo.to_owned(),
                folder: !entry.is_remote(),
            }
            .into());
        };
        let (mut added, mut removed) = (Vec::new(), Vec::new());
        for text in names {
            let name = AllowedName::parse(text)?;
            let at = list.iter().position(|known| known == &name);
            match (remove, at) {
                (false, None) => {
                    list.push(name.clone());
                    added.push(name);
                }
                (true, Some(at)) => removed.push(list.remove(at)),
                (true, None) if !removed.contains(&name) => {
                    let known: Vec<String> = list.iter().map(ToString::to_string).collect();
                    let nearest =
                        backlot_core::text::nearest(&name.to_string(), known.iter().map(String::as_str));
                    return Err(WorkspaceError::NotAllowed {
                        repo: repo.to_owned(),
                        nearest: nearest.map(ToOwned::to_owned),
                        name: name.to_string(),
                    }
                    .into());
                }
                _ => {}
            }
        }
        self.config.set_allowed(repo, list.clone());
        if !dry_run {
            self.config.save()?;
        }
        Ok(AllowReport {
            repo: repo.to_owned(),
            allow: list,
            added,
            removed,
            dry_run,
        })
    }
}
