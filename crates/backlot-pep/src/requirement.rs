//! Requirements: PEP 508 behind an own type, tolerating one common mistake that can be corrected (a missing
//! comma) put right.
//!
//! Invariants: [`Requirement::text`] is valid PEP 508 and keeps the case the name was written in; no user or password of a
//! URL gets past the border (they are left out, and [`Requirement::had_credentials`] tells); no variable of the environment
//! is put into a URL. The parser is uv's: the older `pep508_rs` can be crashed by one marker in a package's metadata.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uv_pep508::{MarkerTree, VerbatimUrl, VersionOrUrl};

use crate::direct_url::{DirectUrl, DirectUrlError};
use crate::lenient::repair_requirement;
use crate::marker::MarkerEnv;
use crate::name::{GroupName, PackageName};
use crate::version::{Specifiers, Version};
use backlot_core::error::{Class, Diagnostic};

/// How tightly a requirement binds its asset, which determines the effect of a publish of the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RequirementKind {
    /// `Table`: every release affects it (a push pipeline).
    Abstract,
    /// `Table>=1.2.3,<2.0`: releases inside the bounds affect it (semi-push).
    Bounded,
    /// `Table==3.2.1`: only a change of the requirement does (a pull pipeline).
    Concrete,
}

/// A PEP 508 requirement.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Requirement {
    inner: uv_pep508::Requirement<VerbatimUrl>,
    text: String,
    name: PackageName,
    had_credentials: bool,
}

/// A text that is not a valid requirement.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid requirement `{text}`: {reason}")]
pub struct RequirementError {
    /// The given text.
    pub text: String,
    /// The parser's message, on one line.
    pub reason: String,
}

/// How the reason begins where only the marker is wrong.
const MARKER_FAULT: &str = "installers disagree on its marker";

impl Diagnostic for RequirementError {
    fn code(&self) -> &'static str {
        "requirement::invalid"
    }
    fn class(&self) -> Class {
        Class::User
    }
    fn help(&self) -> Option<String> {
        if self.reason.starts_with(MARKER_FAULT) {
            return Some(
                "compare versions with a range or a space-separated list (`python_version in '3.11 3.12'`), strings with `==`, `!=`, `in` or `not in`"
                    .to_owned(),
            );
        }
        Some(
            "use a name with an optional range, as in `Table`, `Table>=1.2.3,<2.0` or `Table==3.2.1`"
                .to_owned(),
        )
    }
}

impl Requirement {
    /// Parse PEP 508, strictly.
    pub fn parse(text: &str) -> Result<Self, RequirementError> {
        let text = text.trim();
        let bad = |reason: &str| RequirementError {
            text: untold(text),
            reason: untold(reason),
        };
        // The parser would look them up, and the author may not know their values.
        if text.contains("${") {
            return Err(bad("environment variables are not expanded in requirements"));
        }
        let parse = |text: &str| {
            uv_pep508::Requirement::<VerbatimUrl>::from_str(text).map_err(|e| bad(&e.message.to_string()))
        };
        let mut inner = parse(text)?;
        let mut text = text.to_owned();
        let clean = match &inner.version_or_url {
            Some(VersionOrUrl::Url(url)) => without_credentials(url),
            _ => None,
        };
        let had_credentials = clean.is_some();
        if let Some((written, clean)) = clean {
            text = text.replacen(&written, &clean, 1);
            inner = parse(&text)?;
        }
        let name = PackageName::parse(inner.name.as_ref()).map_err(|e| bad(&e.to_string()))?;
        let requirement = Self {
            inner,
            text,
            name,
            had_credentials,
        };
        requirement.check_writable()?;
        Ok(requirement)
    }

    /// A quote inside a text of a marker is written as it is, and some URLs swallow the marker behind them: nobody could
    /// read such a requirement again, or would read another.
    fn check_writable(&self) -> Result<(), RequirementError> {
        let quotes = self.text.contains('\'') && self.text.contains('"');
        if !quotes && self.url().is_none() {
            return Ok(());
        }
        let always = self.inner.marker.is_true();
        match uv_pep508::Requirement::<VerbatimUrl>::from_str(&self.normalised()) {
            Ok(again) if again.marker.is_true() == always => Ok(()),
            _ => Err(RequirementError {
                text: self.text.clone(),
                reason: "its URL or marker contains characters that cannot be serialised".to_owned(),
            }),
        }
    }

    /// Parse PEP 508, and also a range whose comma was forgotten (`Table>=1.2.3<2.0`); the second value is then the text
    /// it was given as, for a note to the person.
    pub fn parse_lenient(text: &str) -> Result<(Self, Option<String>), RequirementError> {
        match Self::parse(text) {
            Ok(requirement) => Ok((requirement, None)),
            Err(error) => match insert_commas(text.trim()).map(|fixed| Self::parse(&fixed)) {
                Some(Ok(requirement)) => Ok((requirement, Some(text.trim().to_owned()))),
                _ => Err(error),
            },
        }
    }

    /// Parse a requirement in package metadata: PEP 508, and unambiguous mistakes of old packages.
    pub fn parse_repaired(text: &str) -> Result<Self, RequirementError> {
        Self::parse(text).or_else(|error| {
            let repaired = repair_requirement(text.trim()).map(|repaired| Self::parse(&repaired));
            repaired.and_then(Result::ok).ok_or(error)
        })
    }

    /// A requirement of exactly one release.
    pub fn exactly(name: &PackageName, version: &Version) -> Result<Self, RequirementError> {
        Self::parse(&format!("{name}=={version}"))
    }

    /// The package it is about.
    pub fn name(&self) -> &PackageName {
        &self.name
    }
    /// The groups (extras) asked for: `Table[build]`.
    pub fn groups(&self) -> Vec<GroupName> {
        self.inner
            .extras
            .iter()
            .filter_map(|e| GroupName::parse(e.as_ref()).ok())
            .collect()
    }
    /// The versions it admits; any for an abstract or URL requirement.
    pub fn specifiers(&self) -> Specifiers {
        match &self.inner.version_or_url {
            Some(VersionOrUrl::VersionSpecifier(specifiers)) => Specifiers(specifiers.clone()),
            _ => Specifiers::any(),
        }
    }
    /// The direct URL it names (`Table @ file:///...`), if it does.
    pub fn url(&self) -> Option<String> {
        match &self.inner.version_or_url {
            Some(VersionOrUrl::Url(url)) => Some(url.raw().as_str().to_owned()),
            _ => None,
        }
    }
    /// The same, as a file that could be fetched.
    pub fn direct_url(&self) -> Option<Result<DirectUrl, DirectUrlError>> {
        self.url().map(|url| DirectUrl::parse(&url))
    }
    /// Whether its URL was written with a user or password, which are left out here.
    pub fn had_credentials(&self) -> bool {
        self.had_credentials
    }
    /// How tightly it binds.
    pub fn kind(&self) -> RequirementKind {
        let specifiers = self.specifiers();
        if self.url().is_some() || specifiers.pinned().is_some() {
            RequirementKind::Concrete
        } else if specifiers.is_any() {
            RequirementKind::Abstract
        } else {
            RequirementKind::Bounded
        }
    }
    /// Whether its marker holds in an environment, with these groups (extras) of the depending package asked for.
    pub fn applies(&self, env: &MarkerEnv, groups: &[GroupName]) -> bool {
        let extras: Vec<_> = groups
            .iter()
            .filter_map(|g| uv_normalize::ExtraName::from_str(g.as_str()).ok())
            .collect();
        self.inner.evaluate_markers(&env.inner, &extras)
    }
    /// Whether its marker holds in a lock (PEP 751), where markers may ask for `extras` and `dependency_groups`: no extras,
    /// and these groups.
    pub fn applies_in_lock(&self, env: &MarkerEnv, groups: &[GroupName]) -> bool {
        let groups: Vec<_> = groups
            .iter()
            .filter_map(|g| uv_normalize::GroupName::from_str(g.as_str()).ok())
            .collect();
        self.inner.marker.evaluate_pep751(&env.inner, &[], &groups)
    }
    /// As it was written (with commas put in), name case kept.
    pub fn text(&self) -> &str {
        &self.text
    }
    /// For display: as written, without its marker, and with the URL redacted.
    pub fn told(&self) -> Cow<'_, str> {
        let Some(url) = self.direct_url() else {
            return Cow::Borrowed(self.text.split(';').next().unwrap_or_default().trim());
        };
        let url = url.map_or_else(|error| error.url().to_owned(), |url| url.to_string());
        let name = self.text.split('@').next().unwrap_or_default().trim();
        Cow::Owned(format!("{name} @ {url}"))
    }
    /// With the name and range normalised, and its marker as it was written, as METADATA carries it:
    /// `table>=1.2.3,<2.0 ; python_version < "3.12"`. The parser simplifies markers, and drops meaningless ones.
    pub fn normalised(&self) -> String {
        let mut inner = self.inner.clone();
        let marker = self.marker_text();
        if marker.is_some() {
            inner.marker = MarkerTree::TRUE;
        }
        // There are no credentials; redaction would remove parts of a query.
        let mut text = inner.displayable_with_credentials().to_string();
        if let Some(marker) = marker {
            // A header is one line.
            let marker = marker.replace(|c: char| c.is_whitespace(), " ");
            text.push_str(&format!(" ; {marker}"));
        }
        text
    }
    /// Its marker as it was written, if it has one.
    fn marker_text(&self) -> Option<&str> {
        let start = if self.url().is_some() {
            // A `;` inside a URL is part of it.
            let mut ends = self.text.match_indices(';');
            let end = ends.find(|(at, _)| self.text[..*at].ends_with(char::is_whitespace));
            end.map(|(at, _)| at)
        } else {
            self.text.find(';')
        };
        let marker = self.text[start? + 1..].trim();
        (!marker.is_empty()).then_some(marker)
    }
    /// Fine if its marker means the same to all installers: `python_version in '3.11,3.12'` is always true to some and a
    /// search in a text to others. What is published, or written for publishing, has no other.
    pub fn check_marker(&self) -> Result<(), RequirementError> {
        match self.marker_text().and_then(crate::plain_marker::ambiguity) {
            Some(reason) => Err(RequirementError {
                text: self.text.clone(),
                reason: format!("{MARKER_FAULT}: {reason}"),
            }),
            None => Ok(()),
        }
    }
    /// The name as it was written: `KitchenSet`.
    pub fn written_name(&self) -> &str {
        let end = self
            .text
            .find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')));
        &self.text[..end.unwrap_or(self.text.len())]
    }
    /// The same requirement with another range; its name as it was written, its groups and marker kept.
    #[must_use]
    pub fn with_range(&self, range: &Specifiers) -> Self {
        let groups: Vec<String> = self.inner.extras.iter().map(ToString::to_string).collect();
        let mut text = self.written_name().to_owned();
        if !groups.is_empty() {
            text.push_str(&format!("[{}]", groups.join(",")));
        }
        text.push_str(&range.to_string());
        if let Some((_, marker)) = self.text.split_once(';') {
            text.push_str(&format!(" ; {}", marker.trim()));
        }
        Self::parse(&text).unwrap_or_else(|_| self.clone())
    }
    /// The same requirement, asked for only with a group of the package that has it (`; extra == "build"`).
    #[must_use]
    pub fn in_group(&self, group: &GroupName) -> Self {
        let Ok(extra) = uv_normalize::ExtraName::from_str(group.as_str()) else {
            return self.clone();
        };
        let text = match self.marker_text() {
            Some(marker) => {
                let head = self.text[..self.text.len() - marker.len()].trim_end();
                let head = head.strip_suffix(';').unwrap_or(head).trim_end();
                format!("{head} ; ({marker}) and extra == '{group}'")
            }
            None => format!("{} ; extra == '{group}'", self.text),
        };
        let inner = self.inner.clone().with_extra_marker(extra);
        Self {
            inner,
            text,
            name: self.name.clone(),
            had_credentials: self.had_credentials,
        }
    }
}

/// A URL as it was written, and the same without user and password; `None` if it has neither. The user of SSH alone is an
/// address, not a secret.
fn without_credentials(url: &VerbatimUrl) -> Option<(String, String)> {
    let mut clean: url::Url = url.to_url().into();
    let user_only = clean.scheme().ends_with("ssh") && clean.password().is_none();
    if (clean.username().is_empty() && clean.password().is_none()) || user_only {
        return None;
    }
    clean.set_username("").ok();
    clean.set_password(None).ok();
    Some((url.given()?.to_owned(), clean.into()))
}

/// A text without what may be the user and password of a URL in it, for messages.
fn untold(text: &str) -> String {
    let mut told = String::with_capacity(text.len());
    for word in text.split_inclusive(char::is_whitespace) {
        match (word.find(':'), word.rfind('@')) {
            (Some(scheme), Some(at)) if scheme < at => {
                told.push_str(&word[..=scheme]);
                told.push_str("//…");
                told.push_str(&word[at..]);
            }
            _ => told.push_str(word),
        }
    }
    told
}

/// Put a comma before each comparison that follows a version directly: `>=1.2.3<2.0` to `>=1.2.3,<2.0`.
fn insert_commas(text: &str) -> Option<String> {
    let (range, marker) = text
        .split_once(';')
        .map_or((text, None), |(range, marker)| (range, Some(marker)));
    let mut fixed = String::with_capacity(text.len() + 1);
    let mut changed = false;
    let mut in_version = false;
    for c in range.chars() {
        if matches!(c, '<' | '>' | '=' | '!' | '~') {
            if in_version && !fixed.trim_end().ends_with(',') {
                fixed.truncate(fixed.trim_end().len());
                fixed.push(',');
                changed = true;
            }
            in_version = false;
        } else if !c.is_whitespace() && fixed.trim_end().ends_with(['<', '>', '=', '~']) {
            in_version = true;
        }
        fixed.push(c);
    }
    if let Some(marker) = marker {
        fixed.push(';');
        fixed.push_str(marker);
    }
    changed.then_some(fixed)
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
impl FromStr for Requirement {
    type Err = RequirementError;
    fn from_str(text: &str) -> Result<Self, RequirementError> {
        Self::parse(text)
    }
}
impl TryFrom<String> for Requirement {
    type Error = RequirementError;
    fn try_from(text: String) -> Result<Self, RequirementError> {
        Self::parse(&text)
    }
}
impl From<Requirement> for String {
    fn from(requirement: Requirement) -> Self {
        requirement.text
    }
}

#[cfg(test)]
mod tests {
    use super::{Requirement, RequirementKind};
    use crate::marker::MarkerEnv;
    use crate::name::GroupName;

    #[test]
    fn the_seeds_own_range_is_accepted_with_a_note() {
        let (requirement, note) = Requirement::parse_lenient("Table>=1.2.3<2.0").expect("normalised");
        assert_eq!(requirement.text(), "Table>=1.2.3,<2.0");
        assert_eq!(note.as_deref(), Some("Table>=1.2.3<2.0"));
        let (requirement, note) =
            Requirement::parse_lenient("Table >= 1.2.3 < 2.0 != 1.5").expect("normalised");
        assert_eq!(
            (requirement.normalised().as_str(), note.is_some()),
            ("table>=1.2.3,!=1.5,<2.0", true)
        );
        assert!(Requirement::parse_lenient("Table>=").is_err());
        assert!(Requirement::parse_lenient("Table 1.2").is_err());
    }

    #[test]
    fn a_range_can_be_replaced_and_the_rest_stays() {
        use crate::version::Specifiers;
        let requirement = Requirement::parse("Kitchen_Set[build]>=2 ; python_version > '3'").expect("valid");
        let range = Specifiers::parse(">=1,<3").expect("valid");
        assert_eq!(
            requirement.with_range(&range).text(),
            "Kitchen_Set[build]>=1,<3 ; python_version > '3'"
        );
        assert_eq!(requirement.written_name(), "Kitchen_Set");
    }

    #[test]
    fn kinds_follow_how_tightly_it_binds() {
        let kind = |text| Requirement::parse(text).expect(text).kind();
        assert_eq!(kind("Table"), RequirementKind::Abstract);
        assert_eq!(kind("Table>=1.2.3,<2.0"), RequirementKind::Bounded);
        assert_eq!(kind("Table==3.2.1"), RequirementKind::Concrete);
        assert_eq!(kind("Table==3.2.*"), RequirementKind::Bounded);
    }

    #[test]
    fn no_secret_of_a_url_gets_in_and_no_variable_is_looked_up() {
        let parse = |text| Requirement::parse(text).expect(text);
        for text in [
            "Table @ https://ana:hunter2@host/table-1.0-py3-none-any.whl ; python_version > '3'",
            "Table @ https:ana:hunter2@host/table-1.0-py3-none-any.whl ; python_version > '3'",
            "Table @ https://hunter2@host/table-1.0-py3-none-any.whl ; python_version > '3'",
        ] {
            let requirement = parse(text);
            assert!(requirement.had_credentials());
            let clean = "Table @ https://host/table-1.0-py3-none-any.whl ; python_version > '3'";
            assert_eq!(requirement.text(), clean);
            assert!(!format!("{requirement:?} {}", requirement.normalised()).contains("hunter2"));
        }
        let plain = parse("Table[x] @ https://host/a;b/t.whl?X-Amz-Signature=s#sha256=00 ; extra == 'y'");
        assert!(!plain.had_credentials());
        assert_eq!(
            plain.url().as_deref(),
            Some("https://host/a;b/t.whl?X-Amz-Signature=s#sha256=00")
        );
        assert_eq!(
            parse("Table[x]@https://host/a;b/t.whl?X-Amz-Signature=s ; extra == 'y'").told(),
            "Table[x] @ https://host/a;b/t.whl"
        );
        assert!(
            plain.normalised().contains("X-Amz-Signature=s#"),
            "{}",
            plain.normalised()
        );
        assert!(!parse("Table @ git+ssh://git@host/table.git").had_credentials());
        for text in [
            "Table @ https://${HOME}/table.whl",
            "https://ana:hunter2@host/x.whl",
            "x y @ https://ana:hunter2@h",
        ] {
            let error = Requirement::parse(text).expect_err(text).to_string();
            assert!(!error.contains("hunter2") && !error.contains("/root"), "{error}");
        }
    }

    #[test]
    fn groups_become_extra_markers() {
        let env = MarkerEnv::for_python("3.13").expect("valid");
        let build = GroupName::parse("build").expect("valid");
        let requirement = Requirement::parse("Table>=1").expect("valid").in_group(&build);
        assert!(!requirement.applies(&env, &[]));
        assert!(requirement.applies(&env, std::slice::from_ref(&build)));
        assert_eq!(requirement.normalised(), "table>=1 ; extra == 'build'");
        let marked = Requirement::parse("Table; os_name == 'nt' or python_version>'3.8'").expect("valid");
        assert_eq!(
            marked.in_group(&build).normalised(),
            "table ; (os_name == 'nt' or python_version>'3.8') and extra == 'build'"
        );
        assert!(!marked.in_group(&build).applies(&env, &[]));
    }

    #[test]
    fn a_marker_is_written_as_it_was_given() {
        for (given, written) in [
            (
                "foo ; python_version in '3.11,3.12'",
                "foo ; python_version in '3.11,3.12'",
            ),
            ("Foo;sys_platform > 'a'", "foo ; sys_platform > 'a'"),
            (
                "foo >= 1.0 ; python_version<\"3.8\"",
                "foo>=1.0 ; python_version<\"3.8\"",
            ),
            ("foo ; os_name == sys_platform", "foo ; os_name == sys_platform"),
            (
                "foo ; python_version >= '3' or\npython_version < '3'",
                "foo ; python_version >= '3' or python_version < '3'",
            ),
            (
                "foo @ https://h/foo-1.whl?a;b ; os_name == 'nt'",
                "foo @ https://h/foo-1.whl?a;b ; os_name == 'nt'",
            ),
            ("foo[a,b]>=1", "foo[a,b]>=1"),
        ] {
            let requirement = Requirement::parse(given).expect(given);
            assert_eq!(requirement.normalised(), written);
            let again = Requirement::parse(written).expect(written);
            assert_eq!(again.normalised(), written, "{given}");
        }
    }

    #[test]
    fn a_marker_that_installers_read_differently_is_known() {
        for text in [
            "foo ; python_version in '3.11,3.12'",
            "foo ; sys_platform > 'a'",
            "foo ; os_name == sys_platform",
            "foo ; '3.9' > '3.10'",
            "foo ; extra > 'a'",
            "foo ; python_version >= '3.8' and python_version > 'three'",
        ] {
            let requirement = Requirement::parse(text).expect(text);
            let error = requirement.check_marker().expect_err(text);
            assert!(error.reason.starts_with("installers disagree"), "{error}");
        }
        for text in [
            "foo",
            "foo ; python_version >= '3.8' and extra == 'build'",
            "foo ; python_version in '3.11 3.12'",
            "foo ; os.name == 'nt'",
            "foo ; sys_platform == 'win32' or platform_machine in 'x86_64 arm64'",
        ] {
            let requirement = Requirement::parse(text).expect(text);
            assert_eq!(requirement.check_marker(), Ok(()), "{text}");
        }
    }
}
