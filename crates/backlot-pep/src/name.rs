//! Names: of packages (PEP 503 normalised), of groups, and of assets (free text with a Python identifier behind it).
//!
//! Invariant: two names that pip takes for the same package compare equal. The rule from asset name to module name is
//! the original engine's: lower case, `-` and space become `_`, and the result must be an identifier.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use backlot_core::error::Class;

/// A name that cannot be one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// Not a package or group name.
    #[error("invalid {what} name `{name}`")]
    Invalid {
        /// The given text.
        name: String,
        /// `package` or `group`.
        what: &'static str,
    },
    /// An asset name that gives no Python identifier.
    #[error("`{name}` cannot name an asset: its module `{module}` is not a Python identifier")]
    NoIdentifier {
        /// The given text.
        name: String,
        /// The module name it would have.
        module: String,
    },
    /// An asset name whose module would be a Python keyword.
    #[error("`{name}` cannot name an asset: `{module}` is a Python keyword")]
    Keyword {
        /// The given text.
        name: String,
        /// The keyword.
        module: String,
    },
}

backlot_core::coded! {
    NameError {
        Self::Invalid { .. } => "name::invalid", Class::User,
            "use letters, digits, `-`, `_` and `.`, starting and ending with a letter or digit";
        Self::NoIdentifier { .. } => "name::no_identifier", Class::User,
            "start with a letter and use letters, digits, `-`, `_` and spaces, as in `Main-Pack`";
        Self::Keyword { .. } => "name::keyword", Class::User,
            "choose another name, for example with a suffix";
    }
}

/// A package name, normalised by PEP 503: lower case, runs of `-_.` as one `-`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PackageName(Arc<str>);

/// The name of a dependency group (an extra of the wheel), normalised by PEP 685 the same way.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct GroupName(String);

fn normalise(name: &str, what: &'static str) -> Result<String, NameError> {
    let valid = name
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
        && name.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric())
        && name.bytes().last().is_some_and(|b| b.is_ascii_alphanumeric());
    if !valid {
        return Err(NameError::Invalid {
            name: name.to_owned(),
            what,
        });
    }
    let mut text = String::with_capacity(name.len());
    for c in name.chars() {
        let c = if matches!(c, '_' | '.') {
            '-'
        } else {
            c.to_ascii_lowercase()
        };
        if c != '-' || !text.ends_with('-') {
            text.push(c);
        }
    }
    Ok(text)
}

macro_rules! normalised_name {
    ($name:ident, $what:literal) => {
        impl $name {
            /// Normalise a name.
            pub fn parse(name: &str) -> Result<Self, NameError> {
                normalise(name.trim(), $what).map(|text| Self(text.into()))
            }
            /// The normalised text, as in `main-pack`.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl FromStr for $name {
            type Err = NameError;
            fn from_str(name: &str) -> Result<Self, NameError> {
                Self::parse(name)
            }
        }
        impl TryFrom<String> for $name {
            type Error = NameError;
            fn try_from(name: String) -> Result<Self, NameError> {
                Self::parse(&name)
            }
        }
        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.as_str().to_owned()
            }
        }
    };
}
normalised_name!(PackageName, "package");
normalised_name!(GroupName, "group");

impl PackageName {
    /// The package of an asset: its name, in which spaces are written as dashes.
    pub fn of_asset(name: &str) -> Result<Self, NameError> {
        Self::parse(&name.replace(' ', "-"))
    }

    /// As file names of wheels spell it (`main_pack`): the normalised name with `_`.
    pub fn file_stem(&self) -> String {
        self.0.replace('-', "_")
    }
}

/// The free-text name of an asset, with the module and package it implies: `Main-Pack`, `main_pack`, `main-pack`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct AssetName {
    text: String,
    module: String,
    package: PackageName,
}

const KEYWORDS: [&str; 35] = [
    "False", "None", "True", "and", "as", "assert", "async", "await", "break", "class", "continue", "def",
    "del", "elif", "else", "except", "finally", "for", "from", "global", "if", "import", "in", "is",
    "lambda", "nonlocal", "not", "or", "pass", "raise", "return", "try", "while", "with", "yield",
];

impl AssetName {
    /// Parse a free-text name; dots stay, as the original engine lets them nest (`lib.chair`).
    pub fn parse(name: &str) -> Result<Self, NameError> {
        let text = name.trim().to_owned();
        let module = text.to_lowercase().replace(['-', ' '], "_");
        let identifier = |part: &str| {
            part.chars()
                .next()
                .is_some_and(|c| c == '_' || c.is_ascii_alphabetic())
                && part.chars().all(|c| c == '_' || c.is_ascii_alphanumeric())
        };
        if !module.split('.').all(identifier) {
            return Err(NameError::NoIdentifier { name: text, module });
        }
        if module.split('.').any(|part| KEYWORDS.contains(&part)) {
            return Err(NameError::Keyword { name: text, module });
        }
        let package = PackageName::parse(&module).map_err(|_| NameError::NoIdentifier {
            name: text.clone(),
            module: module.clone(),
        })?;
        Ok(Self {
            text,
            module,
            package,
        })
    }
    /// As it was given.
    pub fn as_str(&self) -> &str {
        &self.text
    }
    /// The Python module and project folder: `main_pack`.
    pub fn module(&self) -> &str {
        &self.module
    }
    /// The package it is published as: `main-pack`.
    pub fn package(&self) -> &PackageName {
        &self.package
    }
}

impl fmt::Display for AssetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::{AssetName, NameError, PackageName};

    #[test]
    fn package_names_normalise_as_pep_503_says() {
        let name = PackageName::parse("Main__Pack.-x").expect("valid");
        assert_eq!(name.as_str(), "main-pack-x");
        assert_eq!(name.file_stem(), "main_pack_x");
        assert!(PackageName::parse("-x").is_err());
        assert!(PackageName::parse("").is_err());
    }

    #[test]
    fn asset_names_follow_the_original_engine() {
        let name = AssetName::parse("Main-Pack").expect("valid");
        assert_eq!(
            (name.module(), name.package().as_str()),
            ("main_pack", "main-pack")
        );
        assert_eq!(
            AssetName::parse("MyBuilder").expect("valid").module(),
            "mybuilder"
        );
        assert!(matches!(
            AssetName::parse("3d model"),
            Err(NameError::NoIdentifier { .. })
        ));
        assert!(matches!(
            AssetName::parse("../evil"),
            Err(NameError::NoIdentifier { .. })
        ));
        assert!(matches!(
            AssetName::parse("Class"),
            Err(NameError::Keyword { .. })
        ));
    }
}
