//! What must hold for any input from outside, as functions of bytes: a check panics where it does not hold.
//!
//! The libFuzzer targets (`fuzz/fuzz_targets`) and an ordinary test (`tests/mutations.rs`) call the same functions, so each
//! of them also runs where there is no fuzzer. Invariant: a check says more than that nothing panics: what was read is
//! written and read again, what was unpacked lies where it may. Deliberately absent: choosing inputs.

mod archives;
mod contents;
mod mutate;
mod pages;
mod pipelines;
mod texts;

pub use mutate::Mutator;

/// One check with what helps to find inputs for it.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name; that of its target and of its folder of seeds.
    pub name: &'static str,
    /// The check.
    pub check: fn(&[u8]),
    /// Words that inputs are made of.
    pub words: &'static [&'static str],
    /// How many mutations the ordinary test tries.
    pub rounds: u32,
}

/// All checks.
pub const TARGETS: [Target; 14] = [
    Target {
        name: "metadata",
        check: texts::metadata,
        words: texts::METADATA_WORDS,
        rounds: 12_000,
    },
    Target {
        name: "version",
        check: texts::version,
        words: texts::VERSION_WORDS,
        rounds: 20_000,
    },
    Target {
        name: "requirement",
        check: texts::requirement,
        words: texts::REQUIREMENT_WORDS,
        rounds: 12_000,
    },
    Target {
        name: "index_html",
        check: pages::html,
        words: pages::HTML_WORDS,
        rounds: 12_000,
    },
    Target {
        name: "index_json",
        check: pages::json,
        words: pages::JSON_WORDS,
        rounds: 12_000,
    },
    Target {
        name: "wheel",
        check: archives::wheel,
        words: archives::WHEEL_WORDS,
        rounds: 2500,
    },
    Target {
        name: "sdist",
        check: archives::sdist,
        words: archives::SDIST_WORDS,
        rounds: 2500,
    },
    Target {
        name: "lock",
        check: texts::lock,
        words: texts::LOCK_WORDS,
        rounds: 8000,
    },
    Target {
        name: "part",
        check: texts::part,
        words: texts::PART_WORDS,
        rounds: 12_000,
    },
    Target {
        name: "dvc_yaml",
        check: pipelines::definitions,
        words: pipelines::DEFINITION_WORDS,
        rounds: 8000,
    },
    Target {
        name: "dvc_lock",
        check: pipelines::lock,
        words: pipelines::LOCK_WORDS,
        rounds: 8000,
    },
    Target {
        name: "dvc_template",
        check: pipelines::template,
        words: pipelines::TEMPLATE_WORDS,
        rounds: 8000,
    },
    Target {
        name: "movie",
        check: contents::movie,
        words: contents::MOVIE_WORDS,
        rounds: 8000,
    },
    Target {
        name: "scene",
        check: contents::scene,
        words: contents::SCENE_WORDS,
        rounds: 6000,
    },
];

/// Run the check of a name.
pub fn run(name: &str, input: &[u8]) {
    let target = TARGETS.iter().find(|target| target.name == name);
    (target.expect("a target of this name").check)(input);
}
