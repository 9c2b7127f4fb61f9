//! The checks that are built in.
//!
//! Those of names and inputs read no file (`names`, `inputs`); those of contents read each file once, as long as its content is the same (`contents`, `scenes`).
//! Invariants: a check says what it found, with the file; a parameter that it does not know is an error.

mod contents;
mod inputs;
mod names;
mod scenes;

use backlot_pep::{Requirement, Version};

use crate::project::provenance::{BuildRecord, OutRecord};
use crate::validate::files::CheckedFile;
use crate::validate::found::{CheckItem, Findings, NotRun};
use crate::validate::known::Readings;
use crate::workspace::Opened;

/// The checks with their parameters.
pub(crate) const BUILT_IN: &[(&str, &[&str])] = &[
    ("frames.complete", &["first", "last"]),
    ("frames.finite", &[]),
    ("frames.readable", &[]),
    ("frames.uniform", &["channels", "height", "ignore", "width"]),
    ("inputs.approved", &["by"]),
    ("inputs.current", &["beyond"]),
    ("inputs.not-deprecated", &[]),
    ("inputs.released", &[]),
    ("licence.present", &["allowed", "imports"]),
    ("movie.valid", &["fps", "frames", "height", "seconds", "width"]),
    ("names.portable", &["longest"]),
    ("release.no-pre-release", &["repos"]),
    ("scene.references", &["allow"]),
    ("scene.valid", &[]),
    ("size.budget", &["bytes"]),
];

/// What a check looks at.
pub(crate) struct Subject<'a> {
    pub(crate) opened: &'a Opened,
    /// The files that it is about.
    pub(crate) files: &'a [&'a CheckedFile],
    /// All files of the asset.
    pub(crate) all: &'a [CheckedFile],
    /// What is known of contents.
    pub(crate) readings: &'a Readings<'a>,
    pub(crate) record: Option<&'a BuildRecord>,
    pub(crate) outs: &'a [OutRecord],
    pub(crate) requires: &'a [Requirement],
    pub(crate) licence: Option<&'a str>,
    /// The version that it has, or would get.
    pub(crate) version: &'a Version,
    /// The repo that it goes into.
    pub(crate) target: Option<&'a str>,
}

/// An error if a check has a parameter that it does not know.
pub(crate) fn check_params(id: &str, params: &toml::Table) -> Result<(), String> {
    let known = BUILT_IN.iter().find(|(known, _)| *known == id);
    let known = known.map_or(&[][..], |(_, params)| params);
    match params.keys().find(|key| !known.contains(&key.as_str())) {
        Some(key) => Err(format!("the check `{id}` has no parameter `{key}`")),
        None => Ok(()),
    }
}

/// Whether a check reads files, which have to be here for it.
pub(crate) fn reads_files(id: &str) -> bool {
    matches!(
        id,
        "frames.finite"
            | "frames.readable"
            | "frames.uniform"
            | "movie.valid"
            | "scene.references"
            | "scene.valid"
            | "size.budget"
    )
}

/// Run one, with its parameters.
pub(crate) fn run(id: &str, table: &toml::Table, subject: &Subject<'_>) -> Result<Findings, NotRun> {
    let params = Params { id, table };
    let files = subject.files;
    match id {
        "frames.complete" => Ok(names::frames(params, files)?.into()),
        "frames.finite" => contents::finite(subject),
        "frames.readable" => contents::readable(subject),
        "frames.uniform" => contents::uniform(params, subject),
        "inputs.approved" => inputs::approved(params, subject),
        "inputs.current" => inputs::current(params, subject),
        "inputs.not-deprecated" => inputs::not_deprecated(subject),
        "inputs.released" => Ok(inputs::released(subject).into()),
        "licence.present" => Ok(licence(params, subject)?.into()),
        "movie.valid" => contents::movies(params, subject),
        "names.portable" => Ok(names::names(params, files)?.into()),
        "release.no-pre-release" => Ok(no_prerelease(params, subject)?.into()),
        "scene.references" => scenes::references(params, subject),
        "scene.valid" => scenes::valid(subject),
        _ => Ok(names::budget(params, files)?),
    }
}

/// The parameters of a check.
#[derive(Clone, Copy)]
pub(super) struct Params<'a> {
    pub(super) id: &'a str,
    pub(super) table: &'a toml::Table,
}

impl Params<'_> {
    fn read<T>(
        self,
        key: &str,
        what: &str,
        read: impl Fn(&toml::Value) -> Option<T>,
    ) -> Result<Option<T>, String> {
        let Some(value) = self.table.get(key) else {
            return Ok(None);
        };
        let bad = || format!("`{key}` of the check `{}` is not {what}", self.id);
        read(value).map(Some).ok_or_else(bad)
    }

    /// A whole number, not negative.
    pub(super) fn number(self, key: &str) -> Result<Option<i64>, String> {
        self.read(key, "a whole number", |value| {
            value.as_integer().filter(|number| *number >= 0)
        })
    }

    /// A number with a fraction or without.
    #[expect(clippy::cast_precision_loss, reason = "rates and seconds are small")]
    pub(super) fn fraction(self, key: &str) -> Result<Option<f64>, String> {
        self.read(key, "a number", |value| match value {
            toml::Value::Integer(number) => Some(*number as f64),
            other => other.as_float().filter(|number| number.is_finite()),
        })
    }

    /// Words.
    pub(super) fn list(self, key: &str) -> Result<Option<Vec<String>>, String> {
        self.read(key, "a list of texts", |value| {
            let texts = value.as_array()?.iter();
            texts.map(|text| text.as_str().map(ToOwned::to_owned)).collect()
        })
    }

    /// Whether something is wanted.
    pub(super) fn flag(self, key: &str) -> Result<bool, String> {
        let given = self.read(key, "true or false", toml::Value::as_bool)?;
        Ok(given.unwrap_or_default())
    }
}

/// A licence, one of those that are allowed, also of what was imported.
fn licence(params: Params<'_>, subject: &Subject<'_>) -> Result<Vec<CheckItem>, String> {
    let (allowed, imports) = (params.list("allowed")?, params.flag("imports")?);
    let judged = |licence: Option<&str>, what: &str| {
        let licence = licence.map(str::trim).filter(|licence| !licence.is_empty());
        match (licence, &allowed) {
            (None, _) => Some(format!("{what} has no licence")),
            (Some(licence), Some(allowed)) if !allowed.iter().any(|one| one == licence) => Some(format!(
                "the licence of {what}, {licence}, is not one of {}",
                allowed.join(", ")
            )),
            _ => None,
        }
    };
    let mut items: Vec<CheckItem> = Vec::new();
    items.extend(judged(subject.licence, "the asset").map(CheckItem::of_all));
    for out in subject.outs.iter().filter(|_| imports) {
        if let Some(imported) = &out.imported {
            let path = out.path.as_str();
            let path = path.split_once('/').map_or(path, |(_, inside)| inside);
            let problem = judged(imported.license.as_deref(), "what was imported");
            items.extend(problem.map(|problem| CheckItem::of(path, problem)));
        }
    }
    Ok(items)
}

/// No pre-release into repos where people look for what is final.
fn no_prerelease(params: Params<'_>, subject: &Subject<'_>) -> Result<Vec<CheckItem>, String> {
    let blessed = subject.opened.blessed().map(ToOwned::to_owned);
    let repos = params
        .list("repos")?
        .unwrap_or_else(|| blessed.into_iter().collect());
    let target = subject
        .target
        .filter(|target| repos.iter().any(|repo| repo == target));
    let Some(target) = target.filter(|_| subject.version.is_prerelease()) else {
        return Ok(Vec::new());
    };
    let message = format!(
        "{} is a pre-release, and `{target}` is for final releases",
        subject.version
    );
    Ok(vec![CheckItem::of_all(message)])
}
