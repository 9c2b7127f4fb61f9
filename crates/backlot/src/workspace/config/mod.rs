//! `backlot.toml`: the definition of a workspace, as a document that is edited in place (comments and order are preserved).
//!
//! Invariants: the order of `[repos]` is their order of preference; no secret is ever accepted here; unknown keys are
//! warned about with the nearest known one. Relative places are relative to the workspace.

mod entries;
mod sections;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use backlot_core::{Context, LinkMode, file, text};
use backlot_pep::{PackageName, Requirement};
use toml_edit::{DocumentMut, Item, Table, TableLike, value};

use crate::error::{Error, Result, WorkspaceError};
use crate::workspace::cascade_section::CascadeSection;
use crate::workspace::policies::{ASSET_KEYS, POLICY_KEYS, Policies, table_in};
use crate::workspace::rules::Rules;

use entries::{
    STORE_KEYS, entries, insert_store, one_a_line, read_lists, remote_of, repo_of, string, strings,
};
use sections::{PUBLISH_KEYS, read_localize, rules};

pub use entries::{RemoteEntry, RepoEntry, RepoPlace};
pub(crate) use entries::{array_of, is_url};
pub use sections::{Localize, PublishLimits};

/// `checks` is the name of an asset: one that is written otherwise would not count.
fn check_names_of_checks(document: &DocumentMut) -> Result<(), String> {
    let is_wrong = |table: &dyn TableLike| table.get("checks").is_some_and(|item| !item.is_str());
    let workspace = document.get("workspace").and_then(Item::as_table_like);
    if workspace.is_some_and(is_wrong) {
        return Err("`workspace.checks` is not an asset name".to_owned());
    }
    let repos = document.get("repos").and_then(Item::as_table_like);
    let mut repos = repos.into_iter().flat_map(TableLike::iter);
    match repos.find(|(_, repo)| repo.as_table_like().is_some_and(is_wrong)) {
        Some((name, _)) => Err(format!("`repos.{name}.checks` is not an asset name")),
        None => Ok(()),
    }
}

/// File name of the workspace configuration.
pub(crate) const FILE_NAME: &str = "backlot.toml";
const FORMAT: i64 = 1;

/// The parsed `backlot.toml` with the document it came from.
#[derive(Clone, Debug)]
pub struct Config {
    path: PathBuf,
    document: DocumentMut,
    /// Repos in order of preference.
    pub repos: Vec<RepoEntry>,
    /// Remotes.
    pub remotes: Vec<RemoteEntry>,
    /// Name of the remote that push and pull use.
    pub default_remote: Option<String>,
    /// Name of the repo that installs prefer.
    pub blessed: Option<String>,
    /// Name of the repo that publishes go to.
    pub publish_to: Option<String>,
    /// The asset whose checks count for each publish, and for copies into the preferred repo.
    pub checks: Option<String>,
    /// The requirements of the workspace.
    pub inputs: Vec<Requirement>,
    /// Python version or interpreter.
    pub python: Option<String>,
    /// Cache folder.
    pub cache: Option<String>,
    /// How files are placed.
    pub links: Option<Vec<LinkMode>>,
    /// The rules of choosing.
    pub rules: Rules,
    /// Which releases may be chosen at all.
    pub policies: Policies,
    /// The conda channels, in order of preference.
    pub channels: Vec<String>,
    /// The conda packages that are wanted in `external_packages/`.
    pub external_conda: Vec<String>,
    /// Limits for files in a wheel.
    pub publish: PublishLimits,
    /// Where and how cascades are run.
    pub(crate) cascade: CascadeSection,
    /// When the files of inputs are pulled; always by default.
    pub localize: BTreeMap<PackageName, Localize>,
}

const TOP_KEYS: [&str; 11] = [
    "version",
    "cascade",
    "workspace",
    "repos",
    "remotes",
    "resolution",
    "policy",
    "sources",
    "external",
    "publish",
    "localize",
];
const EXTERNAL_KEYS: [&str; 1] = ["conda"];
const RESOLUTION_KEYS: [&str; 4] = ["constraints", "overrides", "exclude-newer", "resolution"];
const WORKSPACE_KEYS: [&str; 9] = [
    "checks",
    "blessed",
    "publish-to",
    "remote",
    "inputs",
    "python",
    "cache",
    "links",
    "channels",
];
/// Beside those of its store, as for remotes.
const REPO_KEYS: [&str; 7] = ["path", "url", "upload", "public", "allow", "id", "checks"];
const REMOTE_KEYS: [&str; 3] = ["url", "layout", "id"];
const SECRET_WORDS: [&str; 6] = [
    "password",
    "secret",
    "token",
    "passphrase",
    "access-key",
    "credential",
];

impl Config {
    /// The configuration of a new workspace.
    pub fn new(root: &Path) -> Result<Self> {
        let text = format!(
            "# A Backlot workspace. Change it here or with `backlot repo`, `remote`, `install`.\nversion = {FORMAT}\n\n[workspace]\ninputs = []\n"
        );
        Self::parse(&root.join(FILE_NAME), &text, None)
    }

    /// Read the configuration of a workspace; unknown keys are warned about.
    pub fn load(root: &Path, context: &Context) -> Result<Self> {
        let path = root.join(FILE_NAME);
        let text = fs_err::read_to_string(&path)?;
        Self::parse(&path, &text, Some(context))
    }

    /// The repos and remotes of the user's file, as a configuration that is never written.
    pub(crate) fn of_user(path: &Path, context: &Context) -> Result<Self> {
        let bad = |reason: String| {
            Error::from(WorkspaceError::BadConfig {
                path: path.to_path_buf(),
                reason,
            })
        };
        let bytes = file::read_if_exists(path)?.unwrap_or_default();
        let text = String::from_utf8(bytes).map_err(|e| bad(e.to_string()))?;
        let given: DocumentMut = text
            .parse()
            .map_err(|e: toml_edit::TomlError| bad(e.to_string().trim().to_owned()))?;
        let mut own = DocumentMut::new();
        own.insert("version", value(FORMAT));
        for section in ["repos", "remotes"] {
            if let Some(item) = given.get(section) {
                own.insert(section, item.clone());
            }
        }
        Self::parse(path, &own.to_string(), Some(context))
    }

    /// The folder of the file.
    pub(crate) fn root(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new("."))
    }

    /// The text of the file.
    pub(crate) fn text(&self) -> String {
        self.document.to_string()
    }

    /// The configuration as its file is now; `None` if that is this one.
    pub(crate) fn reread(&self, context: Option<&Context>) -> Result<Option<Self>> {
        let text = fs_err::read_to_string(&self.path)?;
        if text == self.document.to_string() {
            return Ok(None);
        }
        Self::parse(&self.path, &text, context).map(Some)
    }

    fn parse(path: &Path, text: &str, context: Option<&Context>) -> Result<Self> {
        let bad = |reason: String| {
            Error::from(WorkspaceError::BadConfig {
                path: path.to_path_buf(),
                reason,
            })
        };
        let document: DocumentMut = text
            .parse()
            .map_err(|e: toml_edit::TomlError| bad(e.to_string().trim().to_owned()))?;
        match document.get("version").and_then(Item::as_integer) {
            Some(FORMAT) => {}
            Some(found) => {
                return Err(WorkspaceError::NewerFormat {
                    path: path.to_path_buf(),
                    found: u64::try_from(found).unwrap_or(0),
                    known: FORMAT.unsigned_abs(),
                }
                .into());
            }
            None => return Err(bad(format!("`version = {FORMAT}` is missing"))),
        }
        let empty = Table::new();
        let workspace = document
            .get("workspace")
            .and_then(Item::as_table)
            .unwrap_or(&empty);
        let mut config = Self {
            path: path.to_path_buf(),
            repos: entries(&document, "repos", repo_of).map_err(|name| {
                bad(format!(
                    "`[repos.{name}]` needs `path = \"...\"` for a folder or `url = \"https://...\"` for an index or a store"
                ))
            })?,
            remotes: entries(&document, "remotes", remote_of)
            .map_err(|name| {
                bad(format!(
                    "`[remotes.{name}]` needs `url = \"...\"` and `layout = \"chunked\"` or `\"dvc\"`"
                ))
            })?,
            default_remote: string(workspace, "remote"),
            blessed: string(workspace, "blessed"),
            publish_to: string(workspace, "publish-to"),
            checks: string(workspace, "checks"),
            python: string(workspace, "python"),
            cache: string(workspace, "cache"),
            inputs: Vec::new(),
            links: None,
            rules: rules(&document).map_err(bad)?,
            policies: Policies::read(&document).map_err(bad)?,
            channels: strings(workspace, "channels"),
            external_conda: external_conda(&document),
            publish: PublishLimits::read(&document).map_err(bad)?,
            cascade: CascadeSection::read(&document).map_err(bad)?,
            localize: read_localize(&document).map_err(bad)?,
            document: document.clone(),
        };
        let tables = config.document.get("repos").and_then(Item::as_table_like);
        read_lists(&mut config.repos, tables).map_err(bad)?;
        config.check_sources().map_err(bad)?;
        check_names_of_checks(&config.document).map_err(bad)?;
        for requirement in strings(workspace, "inputs") {
            config
                .inputs
                .push(Requirement::parse(&requirement).map_err(|e| bad(format!("`workspace.inputs`: {e}")))?);
        }
        let links = strings(workspace, "links");
        if !links.is_empty() {
            let modes: std::result::Result<Vec<LinkMode>, _> = links.iter().map(|l| l.parse()).collect();
            config.links = Some(modes.map_err(|e| bad(format!("`workspace.links`: {e}")))?);
        }
        config.check_keys(context)?;
        Ok(config)
    }

    fn check_sources(&self) -> Result<(), String> {
        let known = |repo: &String| self.repos.iter().any(|r| &r.name == repo);
        if let Some(repo) = self.policies.repos.keys().find(|repo| !known(repo)) {
            return Err(format!("`policy.repos.{repo}` refers to an unknown repo"));
        }
        match self.rules.sources.iter().find(|(_, repo)| !known(repo)) {
            Some((package, repo)) => Err(format!("`sources.{package}` refers to the unknown repo `{repo}`")),
            None => Ok(()),
        }
    }

    fn check_keys(&self, context: Option<&Context>) -> Result<()> {
        let check = |prefix: &str, table: &Table, known: &[&str]| -> Result<()> {
            for (key, item) in table {
                let full = format!("{prefix}{key}");
                let lower = key.to_ascii_lowercase().replace('_', "-");
                let url_secret = item.as_str().is_some_and(has_url_password);
                if SECRET_WORDS.iter().any(|word| lower.contains(word)) || url_secret {
                    return Err(WorkspaceError::SecretInConfig {
                        path: self.path.clone(),
                        key: full,
                    }
                    .into());
                }
                if !known.contains(&key) {
                    let hint = text::nearest(key, known.iter().copied())
                        .map(|k| format!("; did you mean `{k}`?"))
                        .unwrap_or_default();
                    if let Some(context) = context {
                        context.warn(
                            "config::unknown_key",
                            format!("`{}` has an unknown key `{full}`{hint}", self.path.display()),
                        );
                    }
                }
            }
            Ok(())
        };
        check("", self.document.as_table(), &TOP_KEYS)?;
        if let Some(table) = self.document.get("workspace").and_then(Item::as_table) {
            check("workspace.", table, &WORKSPACE_KEYS)?;
        }
        if self.channels.iter().any(|channel| has_url_password(channel)) {
            return Err(WorkspaceError::SecretInConfig {
                path: self.path.clone(),
                key: "workspace.channels".to_owned(),
            }
            .into());
        }
        let rules = self.rules.constraints.iter().chain(&self.rules.overrides);
        if let Some(bad) = self.inputs.iter().chain(rules).find(|r| r.had_credentials()) {
            return Err(WorkspaceError::SecretInConfig {
                path: self.path.clone(),
                key: bad.written_name().to_owned(),
            }
            .into());
        }
        if let Some(table) = self.document.get("external").and_then(Item::as_table) {
            check("external.", table, &EXTERNAL_KEYS)?;
        }
        if let Some(table) = self.document.get("publish").and_then(Item::as_table) {
            check("publish.", table, &PUBLISH_KEYS)?;
        }
        if let Some(table) = self.document.get("resolution").and_then(Item::as_table) {
            check("resolution.", table, &RESOLUTION_KEYS)?;
        }
        if let Some(policy) = self.document.get("policy").and_then(Item::as_table) {
            check("policy.", policy, &POLICY_KEYS)?;
            for (name, item) in policy
                .get("assets")
                .and_then(Item::as_table)
                .into_iter()
                .flatten()
            {
                if let Some(table) = item.as_table() {
                    check(&format!("policy.assets.{name}."), table, &ASSET_KEYS)?;
                }
            }
        }
        for (section, own) in [("repos", &REPO_KEYS[..]), ("remotes", &REMOTE_KEYS[..])] {
            let known = [own, &STORE_KEYS[..]].concat();
            if let Some(all) = self.document.get(section).and_then(Item::as_table) {
                for (name, item) in all {
                    if let Some(table) = item.as_table() {
                        check(&format!("{section}.{name}."), table, &known)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Write the document if it differs from the file.
    pub fn save(&self) -> Result<()> {
        file::write_if_changed(&self.path, self.document.to_string().as_bytes())?;
        Ok(())
    }

    /// Write the document if the file does not exist; whether it was written.
    pub(crate) fn create(&self) -> Result<bool> {
        let created = file::create(&self.path, self.document.to_string().as_bytes())?;
        Ok(created == file::Created::New)
    }

    fn workspace_table(&mut self) -> &mut Table {
        let item = self
            .document
            .entry("workspace")
            .or_insert_with(|| Item::Table(Table::new()));
        if !item.is_table() {
            *item = Item::Table(Table::new());
        }
        item.as_table_mut().expect("it was just made a table")
    }

    pub(crate) fn section(&mut self, section: &str) -> &mut Table {
        let mut parent = Table::new();
        parent.set_implicit(true);
        let item = self.document.entry(section).or_insert(Item::Table(parent));
        if !item.is_table() {
            *item = Item::Table(Table::new());
        }
        item.as_table_mut().expect("it was just made a table")
    }

    /// Remove the settings of a removed repo.
    fn forget_policy_of(&mut self, repo: &str) {
        if self.policies.repos.remove(repo).is_some() {
            table_in(self.section("policy"), "repos").remove(repo);
            self.tidy_policy();
        }
    }

    /// Leave no empty tables behind.
    pub(crate) fn tidy_policy(&mut self) {
        let policy = self.section("policy");
        for key in ["repos", "assets"] {
            let inner = policy.get(key).and_then(Item::as_table_like);
            if inner.is_some_and(TableLike::is_empty) {
                policy.remove(key);
            }
        }
        if policy.is_empty() {
            self.document.remove("policy");
        }
    }

    /// Take `[policy]` as the document has it now.
    pub(crate) fn read_policies(&mut self) -> Result<()> {
        let read = Policies::read(&self.document);
        self.policies = read.map_err(|reason| WorkspaceError::BadConfig {
            path: self.path.clone(),
            reason,
        })?;
        Ok(())
    }

    /// Set or drop one key of `[workspace]`.
    fn set(&mut self, key: &str, to: Option<&str>) {
        let table = self.workspace_table();
        match to {
            Some(text) => {
                table.insert(key, value(text));
            }
            None => {
                table.remove(key);
            }
        }
    }

    /// Add a repo, last in preference.
    pub fn add_repo(&mut self, entry: RepoEntry) {
        let mut table = Table::new();
        let key = if entry.is_remote() { "url" } else { "path" };
        table.insert(key, value(&entry.place));
        if let Some(upload) = &entry.upload {
            table.insert("upload", value(upload));
        }
        insert_store(&mut table, &entry.store);
        if let Some(id) = &entry.id {
            table.insert("id", value(id));
        }
        if let Some(checks) = &entry.checks {
            table.insert("checks", value(checks));
        }
        if let Some(allow) = &entry.public {
            table.insert("public", value(true));
            table.insert("allow", value(array_of(allow)));
        }
        self.section("repos").insert(&entry.name, Item::Table(table));
        self.repos.push(entry);
    }
    /// The table of a repo.
    pub(crate) fn repo_table(&mut self, name: &str) -> Option<&mut dyn TableLike> {
        let all = self.document.get_mut("repos")?.as_table_like_mut()?;
        all.get_mut(name)?.as_table_like_mut()
    }
    /// Remove a repo.
    pub fn remove_repo(&mut self, name: &str) {
        self.section("repos").remove(name);
        self.repos.retain(|r| r.name != name);
        self.forget_policy_of(name);
        if self.blessed.as_deref() == Some(name) {
            self.set_blessed(None);
        }
        if self.publish_to.as_deref() == Some(name) {
            self.set_publish_to(None);
        }
    }
    /// Add a remote.
    pub fn add_remote(&mut self, entry: RemoteEntry) {
        let mut table = Table::new();
        table.insert("url", value(&entry.url));
        table.insert("layout", value(entry.layout.as_str()));
        insert_store(&mut table, &entry.store);
        if let Some(id) = &entry.id {
            table.insert("id", value(id));
        }
        self.section("remotes").insert(&entry.name, Item::Table(table));
        self.remotes.push(entry);
    }
    /// Remove a remote.
    pub fn remove_remote(&mut self, name: &str) {
        self.section("remotes").remove(name);
        self.remotes.retain(|r| r.name != name);
        if self.default_remote.as_deref() == Some(name) {
            self.set_default_remote(None);
        }
    }
    /// Choose the default remote.
    pub fn set_default_remote(&mut self, name: Option<&str>) {
        self.set("remote", name);
        self.default_remote = name.map(ToOwned::to_owned);
    }
    /// Choose the preferred source of installs.
    pub fn set_blessed(&mut self, name: Option<&str>) {
        self.set("blessed", name);
        self.blessed = name.map(ToOwned::to_owned);
    }
    /// Choose the target of publishes.
    pub fn set_publish_to(&mut self, name: Option<&str>) {
        self.set("publish-to", name);
        self.publish_to = name.map(ToOwned::to_owned);
    }
    /// Choose the asset whose checks count for each publish.
    pub fn set_checks(&mut self, name: Option<&str>) {
        self.set("checks", name);
        self.checks = name.map(ToOwned::to_owned);
    }
    /// Choose the Python version or interpreter.
    pub fn set_python(&mut self, python: Option<&str>) {
        self.set("python", python);
        self.python = python.map(ToOwned::to_owned);
    }
    /// Choose the cache folder.
    pub fn set_cache(&mut self, cache: Option<&str>) {
        self.set("cache", cache);
        self.cache = cache.map(ToOwned::to_owned);
    }
    /// Choose how files are placed.
    pub fn set_links(&mut self, links: Option<Vec<LinkMode>>) {
        match &links {
            Some(links) => {
                let array: toml_edit::Array = links.iter().map(ToString::to_string).collect();
                self.workspace_table().insert("links", value(array));
            }
            None => drop(self.workspace_table().remove("links")),
        }
        self.links = links;
    }
    /// Replace the requirements of the workspace; one a line in the file.
    pub fn set_inputs(&mut self, inputs: Vec<Requirement>) {
        let array = one_a_line(inputs.iter().map(Requirement::text));
        self.workspace_table().insert("inputs", value(array));
        self.inputs = inputs;
    }
    /// Replace the channels.
    pub fn set_channels(&mut self, channels: Vec<String>) {
        if channels.is_empty() {
            self.workspace_table().remove("channels");
        } else {
            self.workspace_table()
                .insert("channels", value(one_a_line(channels.iter())));
        }
        self.channels = channels;
    }
    /// Replace the conda packages of `external_packages/`.
    pub fn set_external_conda(&mut self, specs: Vec<String>) {
        let table = self.section("external");
        table.set_implicit(specs.is_empty());
        if specs.is_empty() {
            table.remove("conda");
        } else {
            table.insert("conda", value(one_a_line(specs.iter())));
        }
        self.external_conda = specs;
    }
    /// Replace the constraints, overrides and cutoff; unset ones are removed from the file.
    pub fn set_rules(&mut self, rules: &Rules) {
        let mut keep = |key: &str, item: Option<Item>| {
            let table = self
                .document
                .entry("resolution")
                .or_insert_with(|| Item::Table(Table::new()));
            let Some(table) = table.as_table_like_mut() else {
                return;
            };
            match item {
                Some(item) => drop(table.insert(key, item)),
                None => drop(table.remove(key)),
            }
        };
        let list = |all: &[Requirement]| {
            (!all.is_empty()).then(|| value(one_a_line(all.iter().map(Requirement::text))))
        };
        keep("constraints", list(&rules.constraints));
        keep("overrides", list(&rules.overrides));
        keep(
            "exclude-newer",
            rules.exclude_newer.map(|cutoff| value(cutoff.to_string())),
        );
        let empty = self
            .document
            .get("resolution")
            .and_then(Item::as_table_like)
            .is_some_and(TableLike::is_empty);
        if empty {
            self.document.remove("resolution");
        }
        self.rules = rules.clone();
    }
}

/// `conda` of `[external]`.
fn external_conda(document: &DocumentMut) -> Vec<String> {
    let table = document.get("external").and_then(Item::as_table);
    table.map(|table| strings(table, "conda")).unwrap_or_default()
}

/// Whether a text is a URL with a password in it: `scheme://user:password@host`.
fn has_url_password(text: &str) -> bool {
    let Some((_, rest)) = text.split_once("://") else {
        return false;
    };
    let authority = rest.split('/').next().unwrap_or_default();
    authority
        .rsplit_once('@')
        .is_some_and(|(user, _)| user.contains(':'))
}

#[cfg(test)]
mod tests;
