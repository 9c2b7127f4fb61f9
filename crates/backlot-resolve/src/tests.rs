//! Whole problems: what is chosen, what is refused, and how the refusal reads.

use std::collections::BTreeMap;

use backlot_core::{Class, Context, Diagnostic, Timestamp};
use backlot_pep::{MarkerEnv, PackageName, Requirement, Specifiers, Version};
use proptest::prelude::{Strategy, any, prop, proptest};

use crate::{
    Candidate, Candidates, Dependencies, DirectChoice, Error, Order, Preference, PrereleasePolicy, Problem,
    RootRequirement, Source, resolve,
};

/// Releases written as `name version: requirement, requirement`; `@1` the source, `!reason` yanked, `~reason` deprecated,
/// `?range` the Python it needs, `%date` when it was published.
#[derive(Default)]
pub(crate) struct Index(BTreeMap<PackageName, Vec<(Candidate, Dependencies)>>);

impl Index {
    pub(crate) fn of(lines: &[&str]) -> Self {
        let mut index = Self::default();
        for line in lines {
            let (head, requires) = line.split_once(": ").unwrap_or((line, ""));
            let mut words = head.split_whitespace();
            let name = PackageName::parse(words.next().expect("a name")).expect("a name");
            let version = Version::parse(words.next().expect("a version")).expect("a version");
            let mut candidate = Candidate::new(version, 0);
            for word in words {
                match word.split_at(1) {
                    ("@", rank) => candidate.source = rank.parse().expect("a rank"),
                    ("!", reason) => candidate.yanked = Some(reason.to_owned()),
                    ("~", reason) => candidate.deprecated = Some(reason.to_owned()),
                    ("%", date) => candidate.published = Some(Timestamp::parse(date).expect("a date")),
                    ("?", range) => candidate.requires_python = Some(range.to_owned()),
                    _ => panic!("{word}"),
                }
            }
            let requires: Vec<Requirement> = requires
                .split(',')
                .map(str::trim)
                .filter(|r| !r.is_empty())
                .map(|r| Requirement::parse(&r.replace('&', ",")).expect(r))
                .collect();
            let groups = ["build", "edit"].iter().filter_map(|g| g.parse().ok()).collect();
            index.0.entry(name).or_default().push((
                candidate,
                Dependencies {
                    requires,
                    groups,
                    ..Dependencies::default()
                },
            ));
        }
        index
    }

    fn has_public(&self) -> bool {
        self.0.values().flatten().any(|(c, _)| c.source == 2)
    }
}

impl Candidates for Index {
    fn candidates(&self, name: &PackageName, source: usize) -> Result<Vec<Candidate>, Box<dyn Diagnostic>> {
        let all = self.0.get(name).into_iter().flatten().map(|(c, _)| c.clone());
        Ok(all.filter(|c| c.source == source).collect())
    }
    fn dependencies(
        &self,
        name: &PackageName,
        candidate: &Candidate,
    ) -> Result<Dependencies, Box<dyn Diagnostic>> {
        let found = self.0[name].iter().find(|(c, _)| c == candidate);
        Ok(found.map(|(_, d)| d.clone()).unwrap_or_default())
    }
    fn near(&self, name: &PackageName) -> Vec<String> {
        let known = self.0.keys().map(PackageName::as_str);
        backlot_core::text::nearest(name.as_str(), known)
            .map(ToOwned::to_owned)
            .into_iter()
            .collect()
    }
}

pub(crate) fn env() -> MarkerEnv {
    MarkerEnv::for_python("3.11.7").expect("valid")
}

pub(crate) fn roots(texts: &[&str]) -> Vec<RootRequirement> {
    texts
        .iter()
        .map(|t| RootRequirement {
            requirement: Requirement::parse(t).expect(t),
            asked_by: "the workspace".to_owned(),
        })
        .collect()
}

pub(crate) fn run(
    index: &Index,
    wanted: &[&str],
    change: impl FnOnce(&mut Problem<'_>),
) -> Result<String, Error> {
    let env = env();
    let mut problem = Problem {
        requirements: roots(wanted),
        sources: ["blessed", "review", "public"]
            .iter()
            .take(if index.has_public() { 3 } else { 2 })
            .enumerate()
            .map(|(rank, name)| Source {
                name: (*name).to_owned(),
                trust: usize::from(rank == 2),
                local: true,
            })
            .collect(),
        ..Problem::new(&env)
    };
    change(&mut problem);
    let resolution = resolve(index, &problem, &Context::default())?;
    Ok(resolution
        .packages
        .iter()
        .map(|p| format!("{} {}", p.name, p.version))
        .collect::<Vec<_>>()
        .join(", "))
}

fn chosen(index: &[&str], wanted: &[&str]) -> String {
    run(&Index::of(index), wanted, |_| {}).expect("a choice")
}

#[test]
fn the_newest_admitted_version_of_everything_is_chosen() {
    let index = [
        "kitchenset 1.0: table>=1&<2",
        "kitchenset 1.1: table>=1&<2",
        "table 1.0",
        "table 1.5",
        "table 2.0",
    ];
    assert_eq!(chosen(&index, &["kitchenset"]), "kitchenset 1.1, table 1.5");
    assert_eq!(
        chosen(&index, &["KitchenSet==1.0", "Table<1.5"]),
        "kitchenset 1.0, table 1.0"
    );
    // An older dependent is found when the newest cannot be had.
    let index = ["a 1", "a 2: b>=2", "b 1"];
    assert_eq!(chosen(&index, &["a", "b"]), "a 1, b 1");
}

#[test]
fn pre_releases_are_a_last_resort_unless_named() {
    let index = ["a 1.0", "a 1.1a1", "b 2.0rc1", "c 1: a>=1.1a0", "d 1"];
    assert_eq!(chosen(&index, &["a"]), "a 1.0");
    assert_eq!(chosen(&index, &["a>1.0"]), "a 1.1a1");
    assert_eq!(chosen(&index, &["b"]), "b 2.0rc1");
    assert_eq!(chosen(&index, &["a>=0.5", "c"]), "a 1.1a1, c 1");
    assert_eq!(chosen(&index, &["a==1.1a1", "a>=0.5"]), "a 1.1a1");
    let all = run(&Index::of(&index), &["a"], |p| {
        p.prereleases = PrereleasePolicy::Allow;
    });
    assert_eq!(all.expect("a choice"), "a 1.1a1");
}

#[test]
fn a_preferred_repo_wins_and_others_help_out() {
    let index = Index::of(&["a 1.0 @0", "a 1.1 @1", "a 1.0 @1"]);
    assert_eq!(run(&index, &["a"], |_| {}).expect("a choice"), "a 1.0");
    assert_eq!(run(&index, &["a>1.0"], |_| {}).expect("a choice"), "a 1.1");
    assert_eq!(
        run(&index, &["a"], |p| p.order = Order::VersionFirst).expect("a choice"),
        "a 1.1"
    );
    let lowest = run(&index, &["a"], |p| {
        (p.preference, p.order) = (Preference::Lowest, Order::VersionFirst);
    });
    assert_eq!(lowest.expect("a choice"), "a 1.0");
}

#[test]
fn a_package_of_the_studio_is_never_looked_for_outside() {
    // Sources 0 and 1 are the studio's, 2 is public.
    let index = Index::of(&["lib 1 @1", "lib 9 @2", "numpy 1 @2", "app 1: lib, numpy"]);
    let chosen = |wanted: &[&str]| run(&index, wanted, |_| {}).expect("a choice");
    assert_eq!(chosen(&["app"]), "app 1, lib 1, numpy 1");
    assert!(
        run(&index, &["lib>1"], |_| {}).is_err(),
        "nor for a version only the other has"
    );
    // A pin says otherwise, and only for its package.
    let pinned = run(&index, &["app"], |p| {
        p.pins.insert("lib".parse().expect("a name"), 2);
    });
    assert_eq!(pinned.expect("a choice"), "app 1, lib 9, numpy 1");
    let nowhere = run(&index, &["numpy"], |p| {
        p.pins.insert("numpy".parse().expect("a name"), 0);
    });
    assert!(matches!(nowhere, Err(Error::UnknownPackage { .. })));
    // Also when the studio's only version cannot be had.
    let index = Index::of(&["lib 1 @0 !broken", "lib 9 @2"]);
    assert!(run(&index, &["lib"], |_| {}).is_err());
}

#[test]
fn a_search_that_is_stopped_says_so() {
    let index = Index::of(&["a 1"]);
    let env = env();
    let problem = Problem {
        requirements: roots(&["a"]),
        ..Problem::new(&env)
    };
    let cancel = backlot_core::Cancel::default();
    cancel.cancel();
    let context = Context::default().with_cancel(cancel);
    assert!(matches!(
        resolve(&index, &problem, &context),
        Err(Error::Cancelled(_))
    ));
}

#[test]
fn what_speaks_against_one_file_speaks_for_no_other_of_its_version() {
    for bad in ["!broken", "?>=3.99", "%2026-01-01T00:00:00Z"] {
        let good = "a 1.0 %2020-01-01T00:00:00Z";
        let lines = ["a 0.9 %2020-01-01T00:00:00Z", &format!("a 1.0 {bad}"), good];
        let cutoff = Timestamp::parse("2025-01-01T00:00:00Z").expect("a date");
        let found = run(&Index::of(&lines), &["a"], |p| p.exclude_newer = Some(cutoff));
        assert_eq!(found.expect("a choice"), "a 1.0", "{bad}");
    }
    // Nor what one source says of its file.
    assert_eq!(chosen(&["a 1.0 ?>=3.99", "a 1.0 @1"], &["a"]), "a 1.0");
    // Where every file is barred, the version is; a pin takes the file that is not yanked.
    assert_eq!(chosen(&["a 0.9", "a 1.0 !x", "a 1.0 ?>=3.99"], &["a"]), "a 0.9");
    let index = Index::of(&["a 1.0 !x: b", "a 1.0: c", "b 1", "c 1"]);
    assert_eq!(run(&index, &["a==1.0"], |_| {}).expect("a choice"), "a 1.0, c 1");
}

/// A source whose files of version 1.0 fail with an error of a class.
struct Failing(Class, &'static str);

#[derive(Debug, thiserror::Error)]
#[error("the file failed")]
struct Failed(Class);

impl Diagnostic for Failed {
    fn code(&self) -> &'static str {
        concat!("test", "::failed")
    }
    fn class(&self) -> Class {
        self.0
    }
}

impl Candidates for Failing {
    fn candidates(&self, _name: &PackageName, _source: usize) -> Result<Vec<Candidate>, Box<dyn Diagnostic>> {
        let version = |text| Version::parse(text).expect("a version");
        Ok(["0.9", self.1].map(|v| Candidate::new(version(v), 0)).to_vec())
    }
    fn dependencies(
        &self,
        _name: &PackageName,
        candidate: &Candidate,
    ) -> Result<Dependencies, Box<dyn Diagnostic>> {
        match candidate.version.to_string().as_str() {
            "1.0" => Err(Box::new(Failed(self.0))),
            _ => Ok(Dependencies::default()),
        }
    }
}

#[test]
fn only_what_is_not_there_or_not_for_us_gives_way_to_an_older_version() {
    let env = env();
    let problem = Problem {
        requirements: roots(&["a"]),
        ..Problem::new(&env)
    };
    for class in [
        Class::Environment,
        Class::Config,
        Class::Integrity,
        Class::Internal,
    ] {
        let error = resolve(&Failing(class, "1.0"), &problem, &Context::default()).expect_err("an error");
        assert_eq!((error.class(), error.code()), (class, Failed(class).code()));
    }
    for class in [Class::User, Class::NotFound] {
        let context = Context::default();
        let found = resolve(&Failing(class, "1.0"), &problem, &context).expect("a choice");
        assert_eq!(found.packages[0].version.to_string(), "0.9");
        // An older version would look like the newest.
        assert_eq!(context.warnings(), 1);
    }
}

#[test]
fn groups_bring_their_requirements_and_only_when_asked_for() {
    let index = ["a 1: b, c; extra == 'build'", "b 1", "c 1"];
    assert_eq!(chosen(&index, &["a"]), "a 1, b 1");
    assert_eq!(chosen(&index, &["a[build]"]), "a 1, b 1, c 1");
    assert_eq!(chosen(&index, &["a[nosuch]"]), "a 1, b 1");
    // Asked for by a dependent only.
    let index = [
        "x 1: a[build]",
        "a 1: c; extra == 'build'",
        "a 2: c>5; extra == 'build'",
        "c 1",
    ];
    assert_eq!(chosen(&index, &["x"]), "a 1, c 1, x 1");
}

#[test]
fn markers_decide_for_the_target_environment() {
    let index = [
        "a 1: b; python_version < '3', c; python_version >= '3'",
        "b 1",
        "c 1",
    ];
    assert_eq!(chosen(&index, &["a", "b; sys_platform == 'nosuch'"]), "a 1, c 1");
}

#[test]
fn the_lock_is_kept_while_it_fits_and_a_yanked_version_only_when_pinned() {
    let index = Index::of(&["a 1", "a 2", "a 3", "y 1", "y 2 !broken"]);
    let keep = |p: &mut Problem<'_>| {
        p.preferences
            .insert("a".parse().expect("a name"), "2".parse().expect("a version"));
    };
    assert_eq!(run(&index, &["a"], keep).expect("a choice"), "a 2");
    assert_eq!(run(&index, &["a>2"], keep).expect("a choice"), "a 3");
    assert_eq!(run(&index, &["y"], |_| {}).expect("a choice"), "y 1");
    assert_eq!(run(&index, &["y==2"], |_| {}).expect("a choice"), "y 2");
}

#[test]
fn a_deprecated_version_is_chosen_only_where_its_source_has_no_other_that_fits() {
    let index = Index::of(&[
        "a 1",
        "a 2",
        "a 3 ~old",
        "b 1 ~old",
        "b 2 @1",
        "c 1 @1",
        "c 2 @1 ~old",
    ]);
    let chosen = |requirement: &str| run(&index, &[requirement], |_| {}).expect("a choice");
    assert_eq!(chosen("a"), "a 2");
    assert_eq!(chosen("a>2"), "a 3");
    assert_eq!(chosen("a==3"), "a 3");
    assert_eq!(chosen("b"), "b 1", "the preferred source comes first");
    assert_eq!(chosen("c"), "c 1");
}

#[test]
fn what_needs_no_search_is_chosen_directly_and_what_does_is_left_to_the_solver() {
    let index = Index::of(&[
        "table 1.0",
        "table 1.1",
        "table 1.2 !broken",
        "kitchen 1.0: table",
        "kitchen 2.0 ~ugly: table",
        "old 1.0: table<1.1",
        "grouped 1.0: table[build]",
        "nowhere 1.0: missing",
    ]);
    let env = env();
    let problem = Problem::new(&env);
    let mut direct = DirectChoice::new();
    let mut choose = |wanted: &[&str]| {
        let wanted = roots(wanted);
        let chosen = direct.choose(&index, &problem, wanted.iter().map(|root| &root.requirement));
        let chosen = chosen.expect("nothing is read")?;
        let told = chosen.iter().map(|c| format!("{} {}", c.name, c.version));
        Some(told.collect::<Vec<_>>().join(", "))
    };
    assert_eq!(choose(&["kitchen"]).as_deref(), Some("kitchen 1.0, table 1.1"));
    assert_eq!(
        choose(&["kitchen", "table>=1"]).as_deref(),
        Some("kitchen 1.0, table 1.1")
    );
    assert_eq!(choose(&["old"]).as_deref(), Some("old 1.0, table 1.0"));
    // Two favourites, a group, a package that is not there, a version that only a pin may choose.
    for wanted in [
        &["kitchen", "old"][..],
        &["grouped"],
        &["nowhere"],
        &["table==1.2"],
    ] {
        assert_eq!(choose(wanted), None);
    }
}

#[test]
fn a_long_chain_and_a_wide_diamond_need_no_stack() {
    let chain: Vec<String> = (0..2000)
        .map(|n| format!("p{n} 1: p{}", n + 1))
        .chain(["p2000 1".to_owned()])
        .collect();
    let diamond: Vec<String> = (0..2000)
        .map(|n| format!("q{n} 1: z"))
        .chain(["z 1".to_owned()])
        .collect();
    let top = format!(
        "top 1: {}",
        (0..2000).map(|n| format!("q{n}")).collect::<Vec<_>>().join(",")
    );
    let lines: Vec<&str> = chain
        .iter()
        .chain(&diamond)
        .map(String::as_str)
        .chain([top.as_str()])
        .collect();
    let env = env();
    let index = Index::of(&lines);
    std::thread::scope(|scope| {
        let run = std::thread::Builder::new()
            .stack_size(2 << 20)
            .spawn_scoped(scope, || {
                let problem = Problem {
                    requirements: roots(&["p0", "top"]),
                    ..Problem::new(&env)
                };
                resolve(&index, &problem, &Context::default()).map(|r| r.packages.len())
            });
        let count = run
            .expect("a thread")
            .join()
            .expect("no overflow")
            .expect("a choice");
        assert_eq!(count, 4003);
    });
}

/// Whether any assignment satisfies a small problem, by trying all.
fn brute_force(index: &Index, wanted: &[RootRequirement]) -> bool {
    let names: Vec<&PackageName> = index.0.keys().collect();
    let counts: Vec<usize> = names.iter().map(|n| index.0[*n].len() + 1).collect();
    let total: usize = counts.iter().product();
    (0..total).any(|mut code| {
        let mut chosen: BTreeMap<&PackageName, &(Candidate, Dependencies)> = BTreeMap::new();
        for (name, count) in names.iter().zip(&counts) {
            if code % count > 0 {
                chosen.insert(name, &index.0[*name][code % count - 1]);
            }
            code /= count;
        }
        let holds = |r: &Requirement| {
            chosen
                .get(r.name())
                .is_some_and(|(c, _)| r.specifiers().contains(&c.version))
        };
        wanted.iter().all(|w| holds(&w.requirement))
            && chosen.values().all(|(_, d)| d.requires.iter().all(holds))
    })
}

fn graphs() -> impl Strategy<Value = Vec<String>> {
    let requirement = (0usize..4, 1u64..4, any::<bool>());
    let release = (0usize..4, 1u64..4, prop::collection::vec(requirement, 0..3));
    prop::collection::vec(release, 1..9).prop_map(|releases| {
        let mut lines = BTreeMap::new();
        for (name, version, requires) in releases {
            let texts: Vec<String> = requires
                .iter()
                .map(|(n, v, below)| format!("p{n}{}{v}", if *below { "<=" } else { ">=" }))
                .collect();
            lines.insert((name, version), format!("p{name} {version}: {}", texts.join(",")));
        }
        lines.into_values().collect()
    })
}

/// Texts that look like requirements, and texts that do not.
fn texts() -> impl Strategy<Value = String> {
    let word = "(a|B_c|1|\\.|\\*|==|===|~=|!=|<|>=|,|;|\\[|\\]|\\(|\\)|@|'|\"| |\\+|!|rc1|dev|post|extra|and|or|in|not|os_name|python_version|file:///|é|\u{0}|-){0,12}";
    proptest::prop_oneof![word, ".*"]
}

proptest! {
    #[test]
    fn no_text_makes_a_parser_panic_and_what_is_read_prints_so_that_it_is_read_again(text in texts()) {
        if let Ok((requirement, _)) = Requirement::parse_lenient(&text) {
            let again = Requirement::parse(&requirement.normalised()).expect("valid");
            assert_eq!(again.normalised(), requirement.normalised());
            requirement.applies(&env(), &[]);
            assert!(requirement.with_range(&Specifiers::any()).name() == requirement.name());
        }
        if let Ok(version) = Version::parse(&text) {
            assert_eq!(Version::parse(&version.to_string()).as_ref(), Ok(&version));
        }
        if let Ok(range) = Specifiers::parse(&text) {
            range.starts_at_most_at(env().python());
            assert_eq!(Specifiers::parse(&range.to_string()).as_ref(), Ok(&range));
        }
        Timestamp::parse(&text).ok();
    }

    #[test]
    fn a_choice_is_found_exactly_when_there_is_one_and_it_is_valid(lines in graphs(), first in 0usize..4, second in 0usize..4) {
        let index = Index::of(&lines.iter().map(String::as_str).collect::<Vec<_>>());
        let env = env();
        let wanted = roots(&[&format!("p{first}"), &format!("p{second}>=2")]);
        let problem = Problem { requirements: wanted.clone(), ..Problem::new(&env) };
        let answer = resolve(&index, &problem, &Context::default());
        assert_eq!(answer.is_ok(), brute_force(&index, &wanted), "{lines:?}");
        let direct = DirectChoice::new().choose(&index, &problem, wanted.iter().map(|root| &root.requirement));
        if let Some(direct) = direct.expect("nothing is read") {
            let found = answer.as_ref().expect("it is found without a search").packages.iter();
            let found: Vec<_> = found.map(|p| (&p.name, &p.version, p.source, p.file)).collect();
            let direct: Vec<_> = direct.iter().map(|c| (&c.name, &c.version, c.source, c.file)).collect();
            assert_eq!(direct, found, "{lines:?}");
        }
        if let Ok(resolution) = answer {
            let version = |name: &PackageName| resolution.packages.iter().find(|p| &p.name == name).map(|p| p.version.clone());
            for package in &resolution.packages {
                for (name, text) in &package.requires {
                    let range: Specifiers = Requirement::parse(text).expect("valid").specifiers();
                    assert!(version(name).is_some_and(|v| range.contains(&v)), "{lines:?}");
                }
            }
        }
    }
}
