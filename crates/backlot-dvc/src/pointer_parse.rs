//! Reading pointers, as strictly as DVC does.
//!
//! Invariant: an unknown key, a duplicate key or a value of the wrong type fails the whole file and is named, with the
//! file. What DVC 2 wrote is recognised and refused, because its MD5 means something else. Deliberately absent: comments
//! (see [`crate::patch`]).

use std::path::Path;

use backlot_core::RelPath;
use serde_yaml_ng::{Mapping, Value};

use crate::error::{Error, Result};
use crate::names;
use crate::pointer::{Out, Pointer};

/// Larger files are no pointers.
const MAX_BYTES: usize = 64 << 20;

const OUT_KEYS: [&str; 20] = [
    "md5",
    "etag",
    "checksum",
    "hash",
    "path",
    "size",
    "nfiles",
    "isexec",
    "version_id",
    "cloud",
    "files",
    "fs_config",
    "desc",
    "type",
    "labels",
    "meta",
    "cache",
    "persist",
    "remote",
    "push",
];
const DEP_KEYS: [&str; 17] = [
    "md5",
    "etag",
    "checksum",
    "hash",
    "path",
    "size",
    "nfiles",
    "isexec",
    "version_id",
    "cloud",
    "files",
    "fs_config",
    "persist",
    "repo",
    "db",
    "params",
    "dataset",
];
const TOP_KEYS: [&str; 9] = [
    "outs",
    "deps",
    "md5",
    "wdir",
    "frozen",
    "locked",
    "meta",
    "desc",
    "always_changed",
];

impl Pointer {
    /// Read a pointer. `path` is what errors call it.
    pub fn parse(path: &Path, text: &str) -> Result<Self> {
        let file = File { path };
        if text.len() > MAX_BYTES {
            return Err(file.bad("it is too large for a pointer".to_owned()));
        }
        let text = text.trim_start_matches('\u{feff}');
        let mut document: Value = serde_yaml_ng::from_str(text).map_err(|e| file.bad(e.to_string()))?;
        // `<<: *other`, which people use for keys that many outs share.
        document.apply_merge().map_err(|e| file.bad(e.to_string()))?;
        let mut top = match document {
            Value::Null => Fields::of(file, "", Mapping::new()),
            Value::Mapping(map) => Fields::of(file, "", map),
            _ => return Err(file.bad("it is not a mapping".to_owned())),
        };
        top.check_keys(&TOP_KEYS)?;
        let mut pointer = Self {
            desc: top.text("desc")?,
            md5: top.checksum("md5")?,
            wdir: top.wdir()?,
            frozen: top.flag("frozen", false)? | top.flag("locked", false)?,
            always_changed: top.flag("always_changed", false)?,
            meta: top.any("meta"),
            ..Self::default()
        };
        for (position, dep) in top.list("deps")?.into_iter().enumerate() {
            let dep = top.entry("deps", position, dep)?;
            dep.check_keys(&DEP_KEYS)?;
            pointer.deps.push(dep.map);
        }
        for (position, out) in top.list("outs")?.into_iter().enumerate() {
            pointer.outs.push(parse_out(top.entry("outs", position, out)?)?);
        }
        check_overlap(file, &pointer.outs)?;
        Ok(pointer)
    }
}

fn parse_out(mut fields: Fields<'_>) -> Result<Out> {
    fields.check_keys(&OUT_KEYS)?;
    let file = fields.file;
    let Some(path) = fields.text("path")? else {
        return Err(file.bad(format!("`{}path` is missing", fields.prefix)));
    };
    let path = file.safe_path(&path)?;
    let md5 = fields.checksum("md5")?;
    match fields.text("hash")?.as_deref() {
        Some("md5") => {}
        None if md5.is_none() => {}
        None => {
            return Err(Error::LegacyPointer {
                pointer: file.path.to_path_buf(),
                out: path.to_string(),
            });
        }
        Some(other) => {
            return Err(file.bad(format!("`{path}` is hashed by `{other}`, which is not supported")));
        }
    }
    let md5 = md5
        .map(|m| m.parse())
        .transpose()
        .map_err(|e| file.bad(format!("`{path}`: {e}")))?;
    let mut out = Out::new(path);
    out.md5 = md5;
    out.size = fields.count("size")?;
    out.nfiles = fields.count("nfiles")?;
    out.isexec = fields.flag("isexec", false)?;
    out.version_id = fields.text("version_id")?;
    out.etag = fields.checksum("etag")?;
    out.checksum = fields.checksum("checksum")?;
    out.cloud = fields.any("cloud");
    out.fs_config = fields.any("fs_config");
    out.desc = fields.text("desc")?;
    out.kind = fields.text("type")?;
    out.labels = fields.labels()?;
    out.meta = fields.any("meta").filter(|meta| !is_empty(meta));
    out.cache = fields.flag("cache", true)?;
    out.persist = fields.flag("persist", false)?;
    out.remote = fields.text("remote")?;
    out.push = fields.flag("push", true)?;
    out.files = fields.any("files");
    Ok(out)
}

/// DVC does not write back an empty `meta` of an out.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Mapping(map) => map.is_empty(),
        Value::Sequence(items) => items.is_empty(),
        _ => false,
    }
}

fn check_overlap(file: File<'_>, outs: &[Out]) -> Result<()> {
    for (position, a) in outs.iter().enumerate() {
        if let Some(b) = outs[position + 1..]
            .iter()
            .find(|b| a.path.is_within(&b.path) || b.path.is_within(&a.path))
        {
            return Err(file.bad(format!("its outs `{}` and `{}` overlap", a.path, b.path)));
        }
    }
    Ok(())
}

/// The file being read, for errors.
#[derive(Clone, Copy)]
struct File<'a> {
    path: &'a Path,
}

impl File<'_> {
    fn bad(self, reason: String) -> Error {
        Error::BadPointer {
            pointer: self.path.to_path_buf(),
            reason,
        }
    }

    fn safe_path(self, path: &str) -> Result<RelPath> {
        let refuse = |reason| Error::HostilePointer {
            pointer: self.path.to_path_buf(),
            path: path.to_owned(),
            reason,
        };
        let trimmed = path.strip_prefix("./").unwrap_or(path);
        let parsed =
            RelPath::parse(trimmed.strip_suffix('/').unwrap_or(trimmed)).map_err(|e| refuse(e.reason))?;
        if parsed.parts().any(names::is_reserved) {
            return Err(refuse("goes into a folder of a version control system"));
        }
        if names::is_pointer(parsed.file_name()) {
            return Err(refuse("is a pointer itself"));
        }
        Ok(parsed)
    }
}

/// The entries of a mapping, taken one by one.
struct Fields<'a> {
    file: File<'a>,
    /// Where it is in the file: `outs[0].`.
    prefix: String,
    map: Mapping,
}

impl<'a> Fields<'a> {
    fn of(file: File<'a>, prefix: &str, map: Mapping) -> Self {
        Self {
            file,
            prefix: prefix.to_owned(),
            map,
        }
    }

    fn entry(&self, list: &str, position: usize, value: Value) -> Result<Self> {
        match value {
            Value::Mapping(map) => Ok(Self::of(self.file, &format!("{list}[{position}]."), map)),
            _ => Err(self.file.bad(format!("`{list}[{position}]` is not a mapping"))),
        }
    }

    fn check_keys(&self, known: &[&str]) -> Result<()> {
        for key in self.map.keys() {
            let text = key.as_str().map_or_else(|| format!("{key:?}"), str::to_owned);
            if !known.contains(&text.as_str()) {
                return Err(Error::UnknownKey {
                    pointer: self.file.path.to_path_buf(),
                    key: format!("{}{text}", self.prefix),
                });
            }
        }
        Ok(())
    }

    fn wrong(&self, key: &str, expected: &str) -> Error {
        self.file.bad(format!("`{}{key}` is not {expected}", self.prefix))
    }

    fn any(&mut self, key: &str) -> Option<Value> {
        self.map.remove(key)
    }

    fn text(&mut self, key: &str) -> Result<Option<String>> {
        match self.any(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(self.wrong(key, "a text")),
        }
    }

    /// Checksums may be empty; digits without quotes have lost their zeros, or are a float.
    fn checksum(&mut self, key: &str) -> Result<Option<String>> {
        match self.any(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) if text.is_empty() => Ok(None),
            Some(Value::String(text)) if key == "etag" => Ok(Some(text)),
            Some(Value::String(text)) => Ok(Some(text.to_lowercase())),
            Some(Value::Number(_)) => Err(self.wrong(key, "a text; put it in quotes")),
            Some(_) => Err(self.wrong(key, "a text")),
        }
    }

    fn flag(&mut self, key: &str, default: bool) -> Result<bool> {
        match self.any(key) {
            None => Ok(default),
            Some(Value::Bool(flag)) => Ok(flag),
            Some(_) => Err(self.wrong(key, "`true` or `false`")),
        }
    }

    fn count(&mut self, key: &str) -> Result<Option<u64>> {
        match self.any(key) {
            None => Ok(None),
            Some(value) => value
                .as_u64()
                .map(Some)
                .ok_or_else(|| self.wrong(key, "a number of zero or more")),
        }
    }

    fn list(&mut self, key: &str) -> Result<Vec<Value>> {
        match self.any(key) {
            None | Some(Value::Null) => Ok(Vec::new()),
            Some(Value::Sequence(items)) => Ok(items),
            Some(_) => Err(self.wrong(key, "a list")),
        }
    }

    fn labels(&mut self) -> Result<Vec<String>> {
        let items = match self.any("labels") {
            None => return Ok(Vec::new()),
            Some(Value::Sequence(items)) => items,
            Some(_) => return Err(self.wrong("labels", "a list of texts")),
        };
        let text = |item: Value| item.as_str().map(str::to_owned);
        items
            .into_iter()
            .map(|item| text(item).ok_or_else(|| self.wrong("labels", "a list of texts")))
            .collect()
    }

    fn wdir(&mut self) -> Result<Option<RelPath>> {
        match self.any("wdir") {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) if matches!(text.as_str(), "." | "./" | "") => Ok(None),
            Some(Value::String(text)) => self.file.safe_path(&text).map(Some),
            Some(_) => Err(self.wrong("wdir", "a text")),
        }
    }
}
