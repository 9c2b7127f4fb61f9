//! The repos and remotes of `backlot.toml`, and how they are written there.

use backlot_backend::StoreOptions;
use backlot_repo::{AllowedName, ReleaseStore};
use backlot_store::RemoteLayout;
use serde::{Deserialize, Serialize};
use toml_edit::{Array, DocumentMut, Item, Table, TableLike, value};

/// The longest list that is written on one line.
const ON_ONE_LINE: usize = 4;

/// A repo of a workspace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RepoEntry {
    /// Its name in this workspace.
    pub name: String,
    /// The folder or the URL of an index, as written.
    pub place: String,
    /// Where releases are uploaded to, if that does not follow from the URL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upload: Option<String>,
    /// How a store of objects is reached.
    #[serde(flatten)]
    pub store: StoreOptions,
    /// The packages that may be requested from it; `None` if it is not public.
    #[serde(rename = "allow", skip_serializing_if = "Option::is_none")]
    pub public: Option<Vec<AllowedName>>,
    /// The identity of the repo when it was added; `None` for an index, or if added by an older version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The asset whose checks count for what goes into it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checks: Option<String>,
}

/// The kind of a repo.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum RepoPlace {
    /// A folder.
    Folder,
    /// A package index behind a URL.
    Index,
    /// A store of objects behind a URL.
    Store,
}

impl RepoEntry {
    /// Its kind, by the syntax of its location.
    pub fn kind(&self) -> RepoPlace {
        if ReleaseStore::knows(&self.place) {
            RepoPlace::Store
        } else if is_url(&self.place) {
            RepoPlace::Index
        } else {
            RepoPlace::Folder
        }
    }

    /// Whether it has a URL rather than a folder.
    pub fn is_remote(&self) -> bool {
        self.kind() != RepoPlace::Folder
    }
}

/// Whether a place is a URL, not a path.
pub(crate) fn is_url(place: &str) -> bool {
    place.contains("://")
}

/// A remote of a workspace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RemoteEntry {
    /// Its name in this workspace.
    pub name: String,
    /// Folder or URL, as written.
    pub url: String,
    /// The layout.
    pub layout: RemoteLayout,
    /// How a store of objects is reached.
    #[serde(flatten)]
    pub store: StoreOptions,
    /// The identity of the remote when it was added; `None` if added by an older version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
}

/// A repo has a folder or a URL, never both.
pub(super) fn repo_of(name: String, table: &Table) -> Option<RepoEntry> {
    let place = match (string(table, "path"), string(table, "url")) {
        (Some(path), None) if !is_url(&path) => path,
        (None, Some(url)) if is_url(&url) => url,
        _ => return None,
    };
    Some(RepoEntry {
        name,
        place,
        upload: string(table, "upload"),
        store: store_options(table),
        public: None,
        id: string(table, "id"),
        checks: string(table, "checks"),
    })
}

/// What a remote's table says. Before there were chunks there was only DVC's layout, and nothing said so.
pub(super) fn remote_of(name: String, table: &Table) -> Option<RemoteEntry> {
    let layout = match string(table, "layout") {
        Some(layout) => layout.parse().ok()?,
        None => RemoteLayout::Dvc,
    };
    Some(RemoteEntry {
        name,
        url: string(table, "url")?,
        layout,
        store: store_options(table),
        id: string(table, "id"),
    })
}

/// The keys of how a store is reached, of repos and of remotes.
pub(super) const STORE_KEYS: [&str; 4] = ["endpoint", "region", "anonymous", "via"];

fn store_options(table: &Table) -> StoreOptions {
    StoreOptions::new()
        .endpoint(string(table, "endpoint"))
        .region(string(table, "region"))
        .anonymous(table.get("anonymous").and_then(Item::as_bool) == Some(true))
        .via(string(table, "via"))
}

/// Write how a store is reached.
pub(super) fn insert_store(table: &mut Table, store: &StoreOptions) {
    let texts = [
        ("endpoint", &store.endpoint),
        ("region", &store.region),
        ("via", &store.via),
    ];
    for (key, text) in texts {
        if let Some(text) = text {
            table.insert(key, value(text));
        }
    }
    if store.anonymous {
        table.insert("anonymous", value(true));
    }
}

pub(super) fn string(table: &Table, key: &str) -> Option<String> {
    table.get(key).and_then(Item::as_str).map(ToOwned::to_owned)
}

pub(super) fn strings(table: &Table, key: &str) -> Vec<String> {
    let array = table.get(key).and_then(Item::as_array);
    array
        .map(|a| {
            a.iter()
                .filter_map(|v| v.as_str().map(ToOwned::to_owned))
                .collect()
        })
        .unwrap_or_default()
}

/// The sub-tables of a section in file order; the name of one that lacks something as the error.
pub(super) fn entries<T>(
    document: &DocumentMut,
    section: &str,
    make: impl Fn(String, &Table) -> Option<T>,
) -> Result<Vec<T>, String> {
    let Some(all) = document.get(section).and_then(Item::as_table) else {
        return Ok(Vec::new());
    };
    all.iter()
        .map(|(name, item)| {
            let table = item
                .as_table()
                .cloned()
                .or_else(|| item.as_inline_table().map(|t| t.clone().into_table()));
            table
                .and_then(|table| make(name.to_owned(), &table))
                .ok_or_else(|| name.to_owned())
        })
        .collect()
}

/// The list of a repo's table; `None` if it is not public.
fn list_of(name: &str, table: &dyn TableLike) -> Result<Option<Vec<AllowedName>>, String> {
    let public = match table.get("public").map(|item| (item, item.as_bool())) {
        None | Some((_, Some(false))) => false,
        Some((_, Some(true))) => true,
        Some((item, None)) => {
            return Err(format!(
                "`repos.{name}.public` is `{}`, not true or false",
                text_of(item)
            ));
        }
    };
    let Some(item) = table.get("allow") else {
        return Ok(public.then(Vec::new));
    };
    let wrong = |what: &str| Err(format!("`repos.{name}.allow` {what}"));
    if !public {
        return wrong("requires a repo with `public = true`; other repos have no allowlist");
    }
    let Some(array) = item.as_array() else {
        return wrong("is not a list of package names");
    };
    let mut list = Vec::with_capacity(array.len());
    for name_of_package in array {
        let Some(text) = name_of_package.as_str() else {
            return wrong("is not a list of package names");
        };
        match AllowedName::parse(text) {
            Ok(allowed) => list.push(allowed),
            Err(error) => return wrong(&format!("has an invalid name: {error}")),
        }
    }
    Ok(Some(list))
}

fn text_of(item: &Item) -> String {
    item.to_string().trim().to_owned()
}

/// The lists of all repos, into their entries.
pub(super) fn read_lists(repos: &mut [RepoEntry], all: Option<&dyn TableLike>) -> Result<(), String> {
    for entry in repos {
        let table = all.and_then(|all| all.get(&entry.name)?.as_table_like());
        let Some(table) = table else { continue };
        entry.public = list_of(&entry.name, table)?;
        if entry.public.is_some() && !is_url(&entry.place) {
            return Err(format!(
                "`[repos.{}]` is a folder, and `public` requires a URL",
                entry.name
            ));
        }
    }
    Ok(())
}

/// Names as they are written into a file.
pub(crate) fn array_of(list: &[AllowedName]) -> Array {
    let texts = list.iter().map(ToString::to_string);
    if list.len() > ON_ONE_LINE {
        one_a_line(texts)
    } else {
        texts.collect()
    }
}

/// Texts as an array with one a line.
pub(super) fn one_a_line<T: Into<toml_edit::Value>>(texts: impl Iterator<Item = T>) -> Array {
    let mut array: Array = texts.collect();
    if !array.is_empty() {
        for item in array.iter_mut() {
            item.decor_mut().set_prefix("\n    ");
        }
        array.set_trailing("\n");
        array.set_trailing_comma(true);
    }
    array
}
