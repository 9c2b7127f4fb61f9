//! Requirements: PEP 508 behind a type of our own, with the one mistake of the field that can be put right (a missing
//! comma) put right.
//!
//! Invariant: [`Requirement::text`] is valid PEP 508 and keeps the case the name was written in. The parser is uv's:
//! the older `pep508_rs` can be crashed by one marker in a package's metadata.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uv_pep508::{VerbatimUrl, VersionOrUrl};

use crate::error::{Class, Coded};
use crate::marker::MarkerEnv;
use crate::name::{GroupName, PackageName};
use crate::version::{Specifiers, Version};

/// How tightly a requirement binds its asset, which decides what a publish of the other does to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
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
}

/// A text that is no requirement.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a requirement: {reason}")]
pub struct RequirementError {
    /// What was given.
    pub text: String,
    /// What the parser says, on one line.
    pub reason: String,
}

impl Coded for RequirementError {
    fn code(&self) -> &'static str {
        "requirement::invalid"
    }
    fn class(&self) -> Class {
        Class::User
    }
    fn help(&self) -> Option<String> {
        Some(
            "write a name with an optional range, as in `Table`, `Table>=1.2.3,<2.0` or `Table==3.2.1`"
                .to_owned(),
        )
    }
}

impl Requirement {
    /// Parse PEP 508, strictly.
    pub fn parse(text: &str) -> Result<Self, RequirementError> {
        let text = text.trim();
        let inner = uv_pep508::Requirement::<VerbatimUrl>::from_str(text).map_err(|e| RequirementError {
            text: text.to_owned(),
            reason: e.message.to_string(),
        })?;
        let name = PackageName::parse(inner.name.as_ref()).map_err(|e| RequirementError {
            text: text.to_owned(),
            reason: e.to_string(),
        })?;
        let requirement = Self {
            inner,
            text: text.to_owned(),
            name,
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
                reason: "its URL or marker has characters that could not be written down again".to_owned(),
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
            Some(VersionOrUrl::Url(url)) => Some(url.to_string()),
            _ => None,
        }
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
    /// As it was written (with commas put in), name case kept.
    pub fn text(&self) -> &str {
        &self.text
    }
    /// With the name and range normalised, as METADATA carries it: `table>=1.2.3,<2.0`.
    pub fn normalised(&self) -> String {
        self.inner.to_string()
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
        let inner = self.inner.clone().with_extra_marker(extra);
        let text = inner.to_string();
        Self {
            inner,
            text,
            name: self.name.clone(),
        }
    }
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
    fn groups_become_extra_markers() {
        let env = MarkerEnv::for_python("3.13").expect("valid");
        let build = GroupName::parse("build").expect("valid");
        let requirement = Requirement::parse("Table>=1").expect("valid").in_group(&build);
        assert!(!requirement.applies(&env, &[]));
        assert!(requirement.applies(&env, &[build]));
        assert_eq!(requirement.normalised(), "table>=1 ; extra == 'build'");
    }
}
