//! Packages that come from a file named by its URL (PEP 508): which they are, and who may name them.
//!
//! Invariant: a URL inside a package's metadata is never followed by itself: only what the root, its constraints or its
//! overrides name is, and a package that needs the same file then gets it. uv's rule ("URL dependencies must be expressed
//! as direct requirements or constraints"), without uv's exception for packages that were named by URL themselves: no
//! host is asked that nobody configured. Deliberately absent: fetching.

use std::collections::BTreeMap;
use std::fmt;

use backlot_core::{DirectUrl, PackageName, Requirement};

use crate::error::{Error, Result};
use crate::problem::{Problem, RootRequirement};

/// A URL that a package needs and that cannot be followed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Foreign {
    /// What is needed, its URL as far as it may be shown.
    pub(crate) needed: String,
    /// The URL that is named for it here, if there is one.
    named: Option<String>,
    /// Whether the URL could be followed if it were named.
    pub(crate) good: bool,
}

impl fmt::Display for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "needs `{}`", self.needed)?;
        match &self.named {
            Some(named) => write!(f, ", and here it comes from {named}"),
            None => f.write_str(", a URL that is not followed unless the workspace names it itself"),
        }
    }
}

/// A URL, and the clause that says who names it.
struct Named {
    by: String,
    url: DirectUrl,
}

impl Problem<'_> {
    /// Take up the URLs that may be followed: those of the root requirements and the constraints that hold here, overrides
    /// in place, and those of `also`, whose `asked_by` is a clause about whoever asks. Two for one package are a conflict.
    pub fn name_urls(&mut self, also: &[RootRequirement]) -> Result<()> {
        let mut found: BTreeMap<PackageName, Vec<Named>> = BTreeMap::new();
        for (root, requirement) in self.roots() {
            self.name_url(format!("{} asks for", root.asked_by), requirement, &mut found)?;
        }
        for constraint in self.constraints.iter().filter(|c| c.applies(self.env, &[])) {
            self.name_url("a constraint names".to_owned(), constraint, &mut found)?;
        }
        for root in also {
            for requirement in self.replaced(&root.requirement) {
                self.name_url(format!("{} needs", root.asked_by), requirement, &mut found)?;
            }
        }
        for (package, named) in found {
            self.urls.insert(package.clone(), agreed(&package, &named)?);
        }
        Ok(())
    }

    fn name_url(
        &self,
        by: String,
        requirement: &Requirement,
        found: &mut BTreeMap<PackageName, Vec<Named>>,
    ) -> Result<()> {
        let name = requirement.name();
        if self.fixed.contains_key(name) {
            return Ok(());
        }
        match requirement.direct_url() {
            None => {}
            Some(Ok(url)) => found.entry(name.clone()).or_default().push(Named { by, url }),
            Some(Err(source)) => {
                return Err(Error::DirectUrl {
                    asked_by: by,
                    requirement: requirement.written_name().to_owned(),
                    source,
                });
            }
        }
        Ok(())
    }

    /// Fine if every root requirement by URL is among those that were taken up.
    pub(crate) fn check_urls(&self) -> Result<()> {
        for (root, requirement) in self.roots() {
            if let Some(foreign) = self.foreign(&[requirement]) {
                return Err(Error::Conflict {
                    explanation: format!("  {} {foreign}", root.asked_by),
                    proposals: Vec::new(),
                });
            }
        }
        Ok(())
    }

    /// The first of these requirements that names a URL which is not followed.
    pub(crate) fn foreign(&self, requirements: &[&Requirement]) -> Option<Foreign> {
        let of = |requirement: &&Requirement| {
            let wanted = requirement.direct_url()?;
            let name = requirement.name();
            let known = self.urls.get(name);
            let agrees = |known: &DirectUrl| wanted.as_ref().is_ok_and(|wanted| known.agrees(wanted));
            if self.fixed.contains_key(name) || known.is_some_and(agrees) {
                return None;
            }
            let shown = match &wanted {
                Ok(url) => url.to_string(),
                Err(error) => error.url().to_owned(),
            };
            Some(Foreign {
                needed: format!("{} @ {shown}", requirement.written_name()),
                named: known.map(ToString::to_string),
                good: wanted.is_ok(),
            })
        };
        requirements.iter().find_map(of)
    }
}

/// The one URL that all name, with the digest that any of them promises.
fn agreed(package: &PackageName, named: &[Named]) -> Result<DirectUrl> {
    let first = &named[0];
    let mut url = first.url.clone();
    for other in named {
        if !url.agrees(&other.url) {
            let digest = |url: &DirectUrl| {
                url.sha256()
                    .map(|d| format!(" with sha256 {d}"))
                    .unwrap_or_default()
            };
            let line = |n: &Named| format!("  {} {package} @ {}{}", n.by, n.url, digest(&n.url));
            return Err(Error::Conflict {
                explanation: [
                    line(first),
                    line(other),
                    format!("  {package} can only be one of these files"),
                ]
                .join("\n"),
                proposals: vec![format!(
                    "name one of them everywhere, or above all others with `--override \"{package} @ URL\"`"
                )],
            });
        }
        let digest = url.sha256().or(other.url.sha256());
        url = url.promising(digest);
    }
    Ok(url)
}
