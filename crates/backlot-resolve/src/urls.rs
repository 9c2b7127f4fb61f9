//! Packages that come from a file named by its URL (PEP 508): which they are, and who may name them.
//!
//! Invariant: a URL inside a package's metadata is never followed by itself: only what the root, its constraints or its
//! overrides name is, and a package that needs the same file then gets it. uv's rule ("URL dependencies must be expressed
//! as direct requirements or constraints"), without uv's exception for packages that were named by URL themselves: no
//! unconfigured host is contacted. Deliberately absent: fetching.

use std::collections::BTreeMap;
use std::fmt;

use backlot_pep::{DirectUrl, PackageName, Requirement};

use crate::error::{Error, Result};
use crate::problem::{Problem, RootRequirement};

/// A URL that a package needs and that cannot be followed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Foreign {
    /// The requirement, with its URL redacted.
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
    /// Take up the URLs that may be followed: those of the root requirements, the constraints and the overrides that hold
    /// here, overrides in place, and those of `also`. Two for one package are a conflict.
    pub fn name_urls(&mut self, also: &[RootRequirement]) -> Result<()> {
        let mut found: BTreeMap<PackageName, Vec<Named>> = BTreeMap::new();
        for (root, requirement) in self.roots() {
            self.name_url(format!("{} asks for", root.asked_by), requirement, &mut found)?;
        }
        for constraint in self.constraints.iter().filter(|c| c.applies(self.env, &[])) {
            self.name_url("a constraint names".to_owned(), constraint, &mut found)?;
        }
        for rule in self.overrides.iter().filter(|o| o.applies(self.env, &[])) {
            self.name_url("an override names".to_owned(), rule, &mut found)?;
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
            let digest = |url: &DirectUrl| match url.shown_digest() {
                none if none.is_empty() => none,
                digest => format!(" with {digest}"),
            };
            let line = |n: &Named| format!("  {} {package} @ {}{}", n.by, n.url, digest(&n.url));
            return Err(Error::Conflict {
                explanation: [
                    line(first),
                    line(other),
                    format!("  {package} can only come from one of these files"),
                ]
                .join("\n"),
                proposals: vec![format!(
                    "name one of them everywhere, or above all others with `--override \"{package} @ URL\"`"
                )],
            });
        }
        url = url.with_promises_of(&other.url);
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use backlot_core::Diagnostic as _;
    use backlot_pep::Requirement;

    use crate::tests::{Index, roots, run};
    use crate::{Error, RootRequirement};

    const LAMP: &str = "lamp @ https://host/lamp-1.0-py3-none-any.whl";

    /// With these constraints, overrides, and what an output needs.
    fn chosen(
        index: &[&str],
        wanted: &[&str],
        constraints: &[&str],
        overrides: &[&str],
        output: &[&str],
    ) -> Result<String, Error> {
        let parsed = |texts: &[&str]| -> Vec<Requirement> {
            texts.iter().map(|t| Requirement::parse(t).expect(t)).collect()
        };
        let mut named = Ok(());
        let found = run(&Index::of(index), wanted, |problem| {
            problem.constraints = parsed(constraints);
            problem.overrides = parsed(overrides);
            let also: Vec<RootRequirement> = roots(output)
                .into_iter()
                .map(|root| RootRequirement {
                    asked_by: "the output Kit".to_owned(),
                    ..root
                })
                .collect();
            named = problem.name_urls(&also);
        });
        named.and(found)
    }

    /// `lamp` 1.0 stands for what the URL leads to, and is the only one of the first source.
    const INDEX: [&str; 6] = [
        "lamp 1.0",
        "lamp 2.0 @1",
        "shot 1.0",
        "shot 2.0: lamp @ https://host/lamp-1.0-py3-none-any.whl",
        "set 1.0: lamp @ https://host/lamp-1.0-py3-none-any.whl ; extra == 'build'",
        "old 1.0: lamp<1",
    ];

    #[test]
    fn a_url_is_followed_where_the_root_a_constraint_an_override_or_an_output_names_it() {
        let shot = "lamp 1.0, shot 2.0";
        assert_eq!(
            chosen(&INDEX, &["shot", LAMP], &[], &[], &[]).expect("named"),
            shot
        );
        assert_eq!(chosen(&INDEX, &["shot"], &[LAMP], &[], &[]).expect("named"), shot);
        assert_eq!(chosen(&INDEX, &["shot"], &[], &[LAMP], &[]).expect("named"), shot);
        assert_eq!(
            chosen(&INDEX, &["shot", "lamp>=2"], &[], &[LAMP], &[]).expect("named"),
            shot
        );
        assert_eq!(chosen(&INDEX, &["shot"], &[], &[], &[LAMP]).expect("named"), shot);
        // Overridden, it is neither followed nor missed.
        let other = chosen(&INDEX, &["shot", LAMP], &[], &["lamp>=2"], &[]).expect("overridden");
        assert_eq!(other, "lamp 2.0, shot 2.0");
        // Nobody names it: the version that needs it is passed over, a group only where it is asked for.
        assert_eq!(
            chosen(&INDEX, &["shot"], &[], &[], &[]).expect("passed over"),
            "shot 1.0"
        );
        assert_eq!(
            chosen(&INDEX, &["set"], &[], &[], &[]).expect("no group"),
            "set 1.0"
        );
        let error = chosen(&INDEX, &["set[build]"], &[], &[], &[]).expect_err("refused");
        assert!(
            error
                .to_string()
                .contains("set[build] 1.0 needs `lamp @ https://host"),
            "{error}"
        );
        assert!(
            error.help().is_some_and(|help| help.contains("in the workspace")),
            "{error:?}"
        );
    }

    #[test]
    fn what_cannot_be_one_file_is_refused_in_words() {
        let digest = |digit: &str| format!("{LAMP}#sha256={}", digit.repeat(64));
        let (ones, twos) = (digest("1"), digest("2"));
        let error = chosen(&INDEX, &[&ones], &[], &[], &[&twos]).expect_err("two digests");
        assert_eq!(error.code(), "resolve::conflict");
        assert!(
            error.to_string().contains("the output Kit needs lamp @"),
            "{error}"
        );
        chosen(&INDEX, &[&ones], &[LAMP], &[], &[&ones]).expect("one digest");
        let error = chosen(&INDEX, &["old", LAMP], &[], &[], &[]).expect_err("another version");
        let only = "lamp comes from https://host/lamp-1.0-py3-none-any.whl alone, which is 1.0";
        assert!(error.to_string().contains(only), "{error}");
        let git = "lamp @ git+https://host/lamp.git";
        let error = chosen(&INDEX, &[git], &[], &[], &[]).expect_err("version control");
        assert_eq!(error.code(), "direct_url::version_control");
        assert_eq!(
            chosen(&INDEX, &[git], &[], &["lamp>=2"], &[]).expect("overridden"),
            "lamp 2.0"
        );
    }
}
