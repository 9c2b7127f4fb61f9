//! The one file that knows `backlot-conda`: a workspace's channels, and our types into conda's and back.
//!
//! Invariant: without the feature `conda` the same functions exist and say that it was left out, so nobody else asks.

#[cfg(feature = "conda")]
mod engine {
    use std::path::{Path, PathBuf};

    use backlot_conda::{Channel, Conda, CondaOptions, CondaPackage, SolveRequest, Spec};

    use crate::environment::lockfile::LockedConda;
    use crate::error::Result;
    use crate::workspace::Opened;

    impl From<CondaPackage> for LockedConda {
        fn from(package: CondaPackage) -> Self {
            Self {
                name: package.name,
                version: package.version,
                build: package.build,
                subdir: package.subdir,
                url: package.url,
                sha256: package.sha256,
                size: package.size,
            }
        }
    }

    impl From<LockedConda> for CondaPackage {
        fn from(package: LockedConda) -> Self {
            Self {
                name: package.name,
                version: package.version,
                build: package.build,
                subdir: package.subdir,
                url: package.url,
                sha256: package.sha256,
                size: package.size,
            }
        }
    }

    fn open(workspace: &Opened) -> Result<Conda> {
        let network = &workspace.host().network;
        let options = CondaOptions {
            offline: network.offline,
            proxies: network.proxies.clone(),
            roots: network.roots.clone(),
            connect_timeout: network.connect_timeout,
            read_timeout: network.read_timeout,
            retries: network.retries,
            runtime: network.runtime.clone(),
            ..CondaOptions::new(
                workspace.cache_dir().join("conda"),
                workspace.root().to_path_buf(),
            )
        };
        Ok(Conda::new(options, workspace.context().clone())?)
    }

    /// A channel as it is written down, if it can be one.
    pub(crate) fn channel(text: &str, root: &Path) -> Result<String> {
        Ok(Channel::parse(text, root)?.as_str().to_owned())
    }

    /// A spec as it is written down, and the package it is about.
    pub(crate) fn spec(text: &str) -> Result<(String, String)> {
        let spec = Spec::parse(text)?;
        Ok((spec.name().to_owned(), spec.as_str().to_owned()))
    }

    /// Choose packages from the workspace's channels.
    pub(crate) fn solve(
        workspace: &Opened,
        specs: &[String],
        prefer: &[LockedConda],
    ) -> Result<Vec<LockedConda>> {
        let channels = workspace.settings().channels.value.iter();
        let channels: Vec<Channel> = channels
            .map(|text| Channel::parse(text, workspace.root()))
            .collect::<std::result::Result<_, _>>()?;
        let specs: Vec<Spec> = specs
            .iter()
            .map(|text| Spec::parse(text))
            .collect::<std::result::Result<_, _>>()?;
        let prefer: Vec<CondaPackage> = prefer.iter().cloned().map(Into::into).collect();
        let chosen = open(workspace)?.solve(&SolveRequest {
            channels: &channels,
            specs: &specs,
            prefer: &prefer,
        })?;
        Ok(chosen.into_iter().map(Into::into).collect())
    }

    /// Make a folder hold exactly these packages.
    pub(crate) fn install(workspace: &Opened, prefix: &Path, packages: &[LockedConda]) -> Result<bool> {
        // Nothing to do is by far the most frequent case, and needs neither a cache nor threads.
        if installed(prefix)?.as_deref() == Some(packages) {
            return Ok(false);
        }
        let packages: Vec<CondaPackage> = packages.iter().cloned().map(Into::into).collect();
        Ok(open(workspace)?.install(prefix, &packages)?)
    }

    /// What a folder holds, if it is a prefix of ours.
    pub(crate) fn installed(prefix: &Path) -> Result<Option<Vec<LockedConda>>> {
        let state = backlot_conda::prefix_state(prefix)?;
        Ok(state.map(|state| state.packages.into_iter().map(Into::into).collect()))
    }

    /// Whether a folder is a prefix of ours, be it for another place.
    pub(crate) fn is_prefix(prefix: &Path) -> bool {
        backlot_conda::is_prefix(prefix)
    }

    /// Whether locked packages are for this kind of machine.
    pub(crate) fn fits_machine(packages: &[LockedConda]) -> bool {
        packages
            .iter()
            .all(|p| backlot_conda::is_for_this_machine(&p.subdir))
    }

    /// The interpreter of a prefix.
    pub(crate) fn python_of(prefix: &Path, packages: &[LockedConda]) -> Option<(String, PathBuf)> {
        let python = packages.iter().find(|p| p.name == "python")?;
        let short: Vec<&str> = python.version.splitn(3, '.').take(2).collect();
        let path = prefix.join("bin").join(format!("python{}", short.join(".")));
        Some((python.version.clone(), path))
    }
}

#[cfg(not(feature = "conda"))]
mod engine {
    use std::path::{Path, PathBuf};

    use crate::environment::lockfile::LockedConda;
    use crate::error::{Result, WorkspaceError};
    use crate::workspace::Opened;

    fn absent<T>(action: &'static str) -> Result<T> {
        Err(WorkspaceError::WithoutConda { action }.into())
    }

    pub(crate) fn channel(_text: &str, _root: &Path) -> Result<String> {
        absent("naming a channel")
    }

    pub(crate) fn spec(_text: &str) -> Result<(String, String)> {
        absent("this requirement")
    }

    pub(crate) fn solve(
        _workspace: &Opened,
        _specs: &[String],
        _prefer: &[LockedConda],
    ) -> Result<Vec<LockedConda>> {
        absent("choosing external packages")
    }

    pub(crate) fn install(_workspace: &Opened, _prefix: &Path, _packages: &[LockedConda]) -> Result<bool> {
        absent("installing external packages")
    }

    #[expect(clippy::unnecessary_wraps, reason = "the same shape with conda and without")]
    pub(crate) fn installed(_prefix: &Path) -> Result<Option<Vec<LockedConda>>> {
        Ok(None)
    }

    pub(crate) fn is_prefix(_prefix: &Path) -> bool {
        false
    }

    pub(crate) fn fits_machine(_packages: &[LockedConda]) -> bool {
        true
    }

    pub(crate) fn python_of(_prefix: &Path, _packages: &[LockedConda]) -> Option<(String, PathBuf)> {
        None
    }
}

pub(crate) use engine::{channel, fits_machine, install, installed, is_prefix, python_of, solve, spec};
