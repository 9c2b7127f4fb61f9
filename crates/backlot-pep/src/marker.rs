//! The environment that markers (`python_version < "3.12"`) are judged in.
//!
//! Without an interpreter there is nothing to ask, so the environment is described: a Python version and this platform.

use crate::version::{Version, VersionError};
use backlot_core::error::{Class, Diagnostic};

/// A target environment for markers and `Requires-Python` (PEP 508).
#[derive(Clone, Debug)]
pub struct MarkerEnv {
    pub(crate) inner: uv_pep508::MarkerEnvironment,
    python: Version,
}

/// A Python version that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid Python version `{python}`")]
pub struct MarkerEnvError {
    /// The given text.
    pub python: String,
    /// Why.
    #[source]
    pub source: VersionError,
}

impl Diagnostic for MarkerEnvError {
    fn code(&self) -> &'static str {
        "version::bad_python"
    }
    fn class(&self) -> Class {
        Class::Config
    }
    fn help(&self) -> Option<String> {
        Some("write `python = \"3.13\"` in backlot.toml".to_owned())
    }
}

impl MarkerEnv {
    /// CPython of a version (`3.13` or `3.13.1`) on the platform this program was built for.
    pub fn for_python(python: &str) -> Result<Self, MarkerEnvError> {
        let version = Version::parse(python).map_err(|source| MarkerEnvError {
            python: python.to_owned(),
            source,
        })?;
        let mut numbers = version.release();
        numbers.resize(numbers.len().max(3), 0);
        let short = format!("{}.{}", numbers[0], numbers[1]);
        let full = if version.release().len() >= 3 {
            version.to_string()
        } else {
            format!("{short}.0")
        };
        let (os_name, sys_platform, platform_system) = match std::env::consts::OS {
            "windows" => ("nt", "win32", "Windows"),
            "macos" => ("posix", "darwin", "Darwin"),
            _ => ("posix", "linux", "Linux"),
        };
        let machine = match (std::env::consts::OS, std::env::consts::ARCH) {
            ("windows", "x86_64") => "AMD64",
            ("macos", "aarch64") => "arm64",
            (_, arch) => arch,
        };
        let inner = uv_pep508::MarkerEnvironment::try_from(uv_pep508::MarkerEnvironmentBuilder {
            implementation_name: "cpython",
            implementation_version: &full,
            os_name,
            platform_machine: machine,
            platform_python_implementation: "CPython",
            platform_release: "",
            platform_system,
            platform_version: "",
            python_full_version: &full,
            python_version: &short,
            sys_platform,
        })
        .map_err(|e| MarkerEnvError {
            python: python.to_owned(),
            source: VersionError {
                text: full.clone(),
                reason: e.to_string(),
            },
        })?;
        let python = Version::parse(&full).map_err(|source| MarkerEnvError {
            python: full.clone(),
            source,
        })?;
        Ok(Self { inner, python })
    }

    /// The full Python version, for `Requires-Python`.
    pub fn python(&self) -> &Version {
        &self.python
    }

    /// `3.13`, as in the name of a site-packages folder.
    pub fn python_short(&self) -> String {
        let numbers = self.python.release();
        format!(
            "{}.{}",
            numbers.first().unwrap_or(&3),
            numbers.get(1).unwrap_or(&0)
        )
    }
}
