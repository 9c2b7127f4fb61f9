//! How refusals read: each real shape of a conflict as a whole text, with the change that would resolve it.

use backlot_core::{Diagnostic, Timestamp};
use backlot_pep::Requirement;

use crate::tests::{Index, run};
use crate::{PrereleasePolicy, Problem};

fn refused(index: &[&str], wanted: &[&str], change: impl FnOnce(&mut Problem<'_>)) -> String {
    let error = run(&Index::of(index), wanted, change).expect_err("a refusal");
    format!("{error}\nhelp: {}", error.help().unwrap_or_default())
}

fn constrained(text: &'static str) -> impl FnOnce(&mut Problem<'_>) {
    move |problem| problem.constraints.push(Requirement::parse(text).expect("valid"))
}

fn until(date: &'static str) -> impl FnOnce(&mut Problem<'_>) {
    move |problem| problem.exclude_newer = Some(Timestamp::parse(date).expect("a date"))
}

fn output(name: &'static str, version: &'static str) -> impl FnOnce(&mut Problem<'_>) {
    move |problem| {
        let fixed = (name.parse().expect("a name"), version.parse().expect("a version"));
        problem.fixed.extend([fixed]);
    }
}

macro_rules! shapes {
    ($($name:ident: $index:expr, $wanted:expr, $change:expr;)*) => {
        $(#[test]
        fn $name() {
            insta::assert_snapshot!(refused(&$index, &$wanted, $change));
        })*
    };
}

shapes! {
    the_workspace_against_a_package: [
        "kitchenset 1.0: Table>=2", "kitchenset 1.1: Table>=2", "table 1.0", "table 2.0",
    ], ["KitchenSet", "Table<2"], |_| {};

    a_chain_against_the_workspace: [
        "shot 1.0: KitchenSet>=2", "shot 1.1: KitchenSet>=3", "kitchenset 1.0", "kitchenset 2.0: Table<2",
        "kitchenset 2.1: Table<2", "kitchenset 3.0 @1: Table<1.5", "table 1.0", "table 1.5", "table 2.0 @1",
    ], ["Shot==1.0", "Table>=2"], |_| {};

    two_packages_against_each_other: [
        "a 1: t<2", "b 1: t>=2&<3", "c 1: t", "t 1", "t 2", "t 3",
    ], ["a", "b", "c"], |_| {};

    a_version_nobody_has: ["Table 1.0", "Table 1.2"], ["Table>=3"], |_| {};

    a_pin_just_beside_what_exists: ["Table 1.0", "Table 1.0.1 @1"], ["Table==1.0.2"], |_| {};

    two_wishes_for_one_package: ["Table 1.0", "Table 2.0"], ["Table<2", "Table>=2"], |_| {};

    an_unknown_package_with_a_near_name: ["shot 1: tabel", "table 1.0"], ["shot"], |_| {};

    another_python: ["a 1 ?>=3.14", "a 0.9 ?>=3.13"], ["a"], |_| {};

    only_yanked: ["a 1 !broken-rig", "a 0.9"], ["a>=1"], |_| {};

    a_transitive_pin_on_a_yanked_version: ["shot 1: a==1", "a 1 !broken-rig", "a 2"], ["shot"], |_| {};

    only_a_pre_release: ["a 1rc1"], ["a"], |p| p.prereleases = PrereleasePolicy::Disallow;

    all_too_new: ["a 1 %2026-03-01", "a 0.9", "b 1 %2026-01-01"], ["a", "b"], until("2026-02-01");

    a_constraint_in_the_way: ["shot 1: Table>=2", "table 1.0", "table 2.0"], ["Shot"], constrained("Table<2");

    an_editable_in_the_way: ["shot 1: table>=2", "table 1.0.1"], ["shot"], output("table", "1.0.1");

    a_group_that_asks_for_too_much: [
        "rig 1: solver<2; extra == 'build'", "solver 1", "solver 2",
    ], ["Rig[build]", "Solver>=2"], |_| {};

    not_looked_for_outside: ["studiolib 1.0 @0", "studiolib 9.0 @2"], ["studiolib>=2"], |_| {};

    looked_for_only_where_it_is_pinned: ["table 1.0 @0", "table 2.0 @1"], ["table>=2"], |p| {
        p.pins.insert("table".parse().expect("a name"), 0);
    };

    both_bounds_in_the_way: [
        "shot 1: Table==5.0", "table 1.0", "table 2.0", "table 5.0",
    ], ["Shot", "Table>=1,<2,!=1.5"], |_| {};

    a_deep_diamond: [
        "seq 1", "seq 2: shot1, shot2", "shot1 1: rig>=2", "shot2 1: char<2", "char 1: rig<2", "char 2: rig>=2", "rig 1", "rig 2",
    ], ["Seq>=2"], |_| {};

    many_dependents: [
        "s1 1: lib<2", "s2 1: lib<2", "s3 1: lib<2", "s4 1: lib<2", "s5 1: lib<2", "s6 1: lib<2", "s7 1: lib<2",
        "s8 1: lib<2", "s9 1: lib<2", "s10 1: lib<2", "s11 1: lib<2", "s12 1: lib<2", "s13 1: lib<2", "n 1: lib>=2",
        "lib 1", "lib 2",
    ], ["s1", "s2", "s3", "s4", "s5", "s6", "s7", "s8", "s9", "s10", "s11", "s12", "s13", "n"], |_| {};
}
