//! Every case of `scenarios/*.toml`: what is chosen, or what the refusal says. `tests/tests/packages/uv_scenarios.rs` puts the same
//! cases to uv.

use std::collections::BTreeMap;
use std::path::Path;

use backlot_core::{Class, Context, Diagnostic, Timestamp};
use backlot_pep::{GroupName, MarkerEnv, PackageName, Requirement, Version};
use backlot_resolve::{
    Candidate, Candidates, Dependencies, Preference, PrereleasePolicy, Problem, RootRequirement, resolve,
};
use serde::Deserialize;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    case: Vec<Case>,
}

/// See the files; `uv` is the reason why uv's answer is another one.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Case {
    name: String,
    wants: Vec<String>,
    gives: Option<Vec<String>>,
    refuses: Option<String>,
    releases: BTreeMap<String, Release>,
    #[serde(default)]
    constraints: Vec<String>,
    #[serde(default)]
    overrides: Vec<String>,
    resolution: Option<String>,
    prereleases: Option<String>,
    exclude_newer: Option<String>,
    python: Option<String>,
    #[serde(rename = "uv")]
    _uv: Option<String>,
    #[serde(rename = "uv-gives")]
    _uv_gives: Option<Vec<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Release {
    Requires(Vec<String>),
    Full(Full),
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Full {
    requires: Vec<String>,
    yanked: Option<String>,
    python: Option<String>,
    published: Option<String>,
    broken: bool,
}

#[derive(Debug, thiserror::Error)]
#[error("its METADATA is broken")]
struct Broken;

impl Diagnostic for Broken {
    fn code(&self) -> &'static str {
        concat!("test", "::broken")
    }
    fn class(&self) -> Class {
        Class::Integrity
    }
    fn help(&self) -> Option<String> {
        None
    }
}

struct Index(BTreeMap<PackageName, Vec<(Candidate, Full)>>);

impl Index {
    fn of(case: &Case) -> Self {
        let mut index: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (key, release) in &case.releases {
            let full = match release {
                Release::Requires(requires) => Full {
                    requires: requires.clone(),
                    ..Full::default()
                },
                Release::Full(full) => full.clone(),
            };
            let (name, version) = key.split_once(' ').expect("a name and a version");
            let candidate = Candidate {
                yanked: full.yanked.clone(),
                requires_python: full.python.clone(),
                published: full
                    .published
                    .as_deref()
                    .map(|t| Timestamp::parse(t).expect("a time")),
                ..Candidate::new(Version::parse(version).expect("a version"), 0)
            };
            let name = PackageName::parse(name).expect("a name");
            index.entry(name).or_default().push((candidate, full));
        }
        Self(index)
    }
}

impl Candidates for Index {
    fn candidates(&self, name: &PackageName, _source: usize) -> Result<Vec<Candidate>, Box<dyn Diagnostic>> {
        Ok(self
            .0
            .get(name)
            .into_iter()
            .flatten()
            .map(|(c, _)| c.clone())
            .collect())
    }
    /// A broken version of these scenarios has metadata that nobody could read.
    fn excludes(&self, _error: &dyn Diagnostic) -> bool {
        true
    }
    fn dependencies(
        &self,
        name: &PackageName,
        candidate: &Candidate,
    ) -> Result<Dependencies, Box<dyn Diagnostic>> {
        let (_, full) = self.0[name]
            .iter()
            .find(|(c, _)| c.version == candidate.version)
            .expect("a candidate");
        if full.broken {
            return Err(Box::new(Broken));
        }
        let words = full.requires.iter().flat_map(|r| r.split("extra == '").skip(1));
        let groups = words.filter_map(|w| GroupName::parse(w.split('\'').next()?).ok());
        Ok(Dependencies {
            requires: requirements(&full.requires),
            groups: groups.collect(),
            ..Dependencies::default()
        })
    }
}

fn requirements(texts: &[String]) -> Vec<Requirement> {
    texts
        .iter()
        .map(|t| Requirement::parse(t).expect("a requirement"))
        .collect()
}

/// What is chosen, or what the refusal says.
fn answer(case: &Case) -> Result<Vec<String>, String> {
    let env = MarkerEnv::for_python(case.python.as_deref().unwrap_or("3.11")).expect("a Python");
    let roots = requirements(&case.wants)
        .into_iter()
        .map(|requirement| RootRequirement {
            requirement,
            asked_by: "the workspace".to_owned(),
        });
    let problem = Problem {
        requirements: roots.collect(),
        constraints: requirements(&case.constraints),
        overrides: requirements(&case.overrides),
        exclude_newer: case
            .exclude_newer
            .as_deref()
            .map(|t| Timestamp::parse(t).expect("a time")),
        preference: match case.resolution.as_deref() {
            None => Preference::Highest,
            Some("lowest") => Preference::Lowest,
            Some("lowest-direct") => Preference::LowestDirect,
            Some(other) => panic!("{other}"),
        },
        prereleases: match case.prereleases.as_deref() {
            None => PrereleasePolicy::IfNecessary,
            Some("allow") => PrereleasePolicy::Allow,
            Some("disallow") => PrereleasePolicy::Disallow,
            Some(other) => panic!("{other}"),
        },
        ..Problem::new(&env)
    };
    let resolution = resolve(&Index::of(case), &problem, &Context::default()).map_err(|e| e.to_string())?;
    let chosen = resolution
        .packages
        .iter()
        .map(|p| format!("{} {}", p.name, p.version));
    Ok(chosen.collect())
}

#[test]
fn every_scenario_ends_as_it_says() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let mut count = 0;
    let mut wrong = Vec::new();
    for entry in fs_err::read_dir(folder).expect("the scenarios") {
        let path = entry.expect("a file").path();
        let text = fs_err::read_to_string(&path).expect("read");
        let file: File = toml::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        for case in &file.case {
            count += 1;
            let right = match (answer(case), &case.gives, &case.refuses) {
                (Ok(chosen), Some(gives), None) if &chosen == gives => continue,
                (Err(text), None, Some(refuses)) if text.contains(refuses) => continue,
                (answer, _, _) => answer,
            };
            wrong.push(format!("{}: {}: {right:?}", path.display(), case.name));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(count >= 80, "{count}");
}
