//! Random small pipelines with changes between their runs, the same for the same seed.
//!
//! Commands are deterministic in what they declare to read, so that any two tools that follow DVC's rules come to the same files.
//! Deliberately absent: parameters named `size` or `nfiles`, of which DVC's run cache gives wrong results, dates, outputs outside of the
//! project, outputs that can be executed and are kept over runs (DVC loses the mode), and files that cannot be read (DVC sees it late).

mod stage;

use crate::Random;
use stage::{Made, Stage};

/// A pipeline, and what happens to it.
#[derive(Clone, Debug)]
pub struct RandomPipeline {
    /// The files at the beginning, with their texts.
    pub files: Vec<(String, String)>,
    /// What happens then.
    pub steps: Vec<Step>,
}

/// One thing that happens.
#[derive(Clone, Debug)]
pub enum Step {
    /// A file gets other content.
    Write(String, String),
    /// A command of the shell in the project's folder.
    Shell(String),
    /// Somebody edits `dvc.lock`.
    Lock(LockEdit),
    /// `dvc repro` with these arguments.
    Repro(Vec<String>),
    /// Who ran here goes on with what the other one made.
    Swap,
}

/// An edit of a lock.
#[derive(Clone, Copy, Debug)]
pub enum LockEdit {
    /// It is removed.
    Remove,
    /// The entry of one stage is removed.
    DropStage(usize),
    /// The entry of the first stage comes last.
    Reorder,
    /// One digest is another one.
    ChangeDigest(usize),
    /// Sizes are not there.
    DropSizes,
}

impl LockEdit {
    /// The text afterwards; `None` if the file is gone.
    pub fn apply(self, text: &str) -> Option<String> {
        let lines: Vec<&str> = text.lines().collect();
        let is_head = |line: &&str| line.starts_with("  ") && !line.starts_with("   ");
        let heads: Vec<usize> = (0..lines.len()).filter(|at| is_head(&lines[*at])).collect();
        let entry = |at: usize| {
            let end = heads.get(at + 1).copied().unwrap_or(lines.len());
            heads[at]..end
        };
        let mut edited: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
        match self {
            Self::Remove => return None,
            // Without a stage, the mapping would be no mapping.
            Self::DropStage(_) | Self::Reorder if heads.len() < 2 => {}
            Self::DropStage(at) => drop(edited.drain(entry(at % heads.len()))),
            Self::Reorder => {
                let first: Vec<String> = edited.drain(entry(0)).collect();
                edited.extend(first);
            }
            Self::ChangeDigest(at) => {
                let digests: Vec<usize> = (0..lines.len())
                    .filter(|at| lines[*at].trim_start().starts_with("md5: "))
                    .collect();
                if !digests.is_empty() {
                    let line = &mut edited[digests[at % digests.len()]];
                    let digit = if line.contains("md5: 0") {
                        "md5: 1"
                    } else {
                        "md5: 0"
                    };
                    let start = line.find("md5: ").unwrap_or(0);
                    line.replace_range(start..start + digit.len(), digit);
                }
            }
            Self::DropSizes => edited.retain(|line| !line.trim_start().starts_with("size: ")),
        }
        Some(edited.join("\n") + "\n")
    }
}

/// What a generator needs all the time.
#[derive(Clone, Debug)]
pub(crate) struct Dice(Random);

impl Dice {
    fn new(seed: u64) -> Self {
        let mut dice = Self(Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1));
        for _ in 0..8 {
            dice.0.next();
        }
        dice
    }

    /// A number below a bound.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        let high = self.0.next() >> 16;
        usize::try_from(high % bound.max(1) as u64).unwrap_or(0)
    }

    /// True in so many of a hundred cases.
    pub(crate) fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    pub(crate) fn pick<'t, T>(&mut self, all: &'t [T]) -> &'t T {
        &all[self.below(all.len())]
    }
}

const INPUTS: [&str; 6] = ["in0", "in1", "in2", "src/a", "src/b/c", "w/in"];
const CONTENTS: [&str; 4] = ["a\n", "b\n", "c\nc\n", ""];

fn params_yaml(dice: &mut Dice) -> String {
    let lr = dice.pick(&["1", "1.0", "0.1", "true", "1e-05", "'1'"]);
    let n = dice.pick(&["1", "2", "3"]);
    let name = dice.pick(&["x", "010", "\"off\"", "~", "é"]);
    let two = dice.pick(&["2", "2.0"]);
    let k = dice.pick(&["1", "true", "2"]);
    let map = format!("{{j: {{i: ~}}, k: {k}}}");
    format!("lr: {lr}\nn: {n}\nname: {name}\nl: [1, {two}, z]\nm: {map}\n")
}

/// A file of parameters other than `params.yaml`, with its text.
fn other_params(dice: &mut Dice) -> (&'static str, String) {
    let number = dice.pick(&["1", "2", "2.0"]);
    match dice.below(3) {
        0 => (
            "p.json",
            format!("{{\"a\": {number}, \"b\": {{\"c\": [1, null]}}}}\n"),
        ),
        1 => ("p.toml", format!("a = {number}\n[t]\nx = \"y\"\n")),
        _ => ("p.py", format!("A = {number}\nclass C:\n    v = (1, 'x')\n")),
    }
}

impl RandomPipeline {
    /// The pipeline of a seed, with this many changes and runs after the first run.
    pub fn new(seed: u64, rounds: usize) -> Self {
        let mut generator = Generator {
            dice: Dice::new(seed),
            stages: Vec::new(),
            made: Vec::new(),
            gone: Vec::new(),
            steps: Vec::new(),
            next: 0,
        };
        let dice = &mut generator.dice;
        let mut files: Vec<(String, String)> = INPUTS
            .iter()
            .map(|input| ((*input).to_owned(), (*dice.pick(&CONTENTS)).to_owned()))
            .collect();
        files.push(("params.yaml".to_owned(), params_yaml(dice)));
        files.push((
            "p.json".to_owned(),
            "{\"a\": 1, \"b\": {\"c\": [1, null]}}\n".to_owned(),
        ));
        files.push(("p.toml".to_owned(), "a = 1\n[t]\nx = \"y\"\n".to_owned()));
        files.push((
            "p.py".to_owned(),
            "A = 1\nclass C:\n    v = (1, 'x')\n".to_owned(),
        ));
        for _ in 0..3 + generator.dice.below(4) {
            generator.add_stage();
        }
        files.extend(generator.definitions());
        generator.repro(true);
        for _ in 0..rounds {
            for _ in 0..=generator.dice.below(3) {
                generator.change();
            }
            if generator.dice.chance(40) {
                generator.steps.push(Step::Swap);
            }
            generator.repro(false);
        }
        generator.heal();
        Self {
            files,
            steps: generator.steps,
        }
    }
}

struct Generator {
    dice: Dice,
    stages: Vec<Stage>,
    made: Vec<Made>,
    /// Inputs that are not there now.
    gone: Vec<&'static str>,
    steps: Vec<Step>,
    next: usize,
}

impl Generator {
    fn add_stage(&mut self) {
        let number = self.next;
        self.next += 1;
        let stage = Stage::random(&mut self.dice, number, &self.made);
        self.made.extend(stage.makes());
        self.stages.push(stage);
    }

    /// The `dvc.yaml` files.
    fn definitions(&self) -> Vec<(String, String)> {
        let of = |folder: &str| {
            let stages = self.stages.iter().filter(|stage| stage.file_folder() == folder);
            let texts: Vec<String> = stages.map(Stage::to_yaml).collect();
            if texts.is_empty() {
                return "stages: {}\n".to_owned();
            }
            format!("stages:\n{}", texts.concat())
        };
        let mut files = vec![("dvc.yaml".to_owned(), of(""))];
        if self.stages.iter().any(|stage| stage.file_folder() == "sub") {
            files.push(("sub/dvc.yaml".to_owned(), of("sub")));
        }
        files
    }

    fn define(&mut self) {
        let files = self.definitions();
        let writes = files.into_iter().map(|(path, text)| Step::Write(path, text));
        self.steps.extend(writes);
    }

    fn shell(&mut self, command: String) {
        self.steps.push(Step::Shell(command));
    }

    fn write(&mut self, path: &str, text: String) {
        self.steps.push(Step::Write(path.to_owned(), text));
    }

    /// One change.
    fn change(&mut self) {
        match self.dice.below(30) {
            0..=6 => {
                let input = *self.dice.pick(&INPUTS);
                let text = (*self.dice.pick(&CONTENTS)).to_owned();
                self.gone.retain(|gone| *gone != input);
                self.write(input, text);
            }
            7..=9 => {
                let text = params_yaml(&mut self.dice);
                self.write("params.yaml", text);
            }
            10 => {
                let (path, text) = other_params(&mut self.dice);
                self.write(path, text);
            }
            11..=13 => self.harm_output(),
            14 => {
                let what = *self.dice.pick(&[
                    "touch src/stray",
                    "rm -f src/stray",
                    "touch in0 src/a",
                    "chmod +x in1",
                ]);
                self.shell(what.to_owned());
            }
            15 => {
                let what = *self.dice.pick(&[
                    "rm -rf .dvc/cache/files",
                    "rm -rf .dvc/cache/runs .dvc/cache/run-results",
                ]);
                self.shell(what.to_owned());
            }
            16..=18 => {
                let at = self.dice.below(40);
                let edit = *self.dice.pick(&[
                    LockEdit::Remove,
                    LockEdit::DropStage(at),
                    LockEdit::DropStage(at),
                    LockEdit::Reorder,
                    LockEdit::ChangeDigest(at),
                    LockEdit::ChangeDigest(at),
                    LockEdit::DropSizes,
                ]);
                self.steps.push(Step::Lock(edit));
            }
            19 => {
                let number = self.dice.below(self.next);
                let what = *self.dice.pick(&["touch", "rm -f"]);
                self.shell(format!("{what} fail.{number}"));
            }
            20 => {
                let input = *self.dice.pick(&INPUTS);
                self.gone.push(input);
                self.shell(format!("rm -f {input}"));
            }
            21 if self.stages.len() < 8 => {
                self.add_stage();
                self.define();
            }
            22 if self.stages.len() > 2 => {
                let at = self.dice.below(self.stages.len());
                self.stages.remove(at);
                self.define();
            }
            _ => {
                let at = self.dice.below(self.stages.len());
                let before: Vec<Made> = self.stages[..at].iter().flat_map(Stage::makes).collect();
                self.stages[at].edit(&mut self.dice, &before);
                self.define();
            }
        }
    }

    /// Outputs of a stage are removed, edited, or get a stray file.
    fn harm_output(&mut self) {
        let number = self.dice.below(self.next);
        let what = match self.dice.below(4) {
            0 => {
                "if test -f $f; then rm -f $f; echo edited > $f; elif test -d $f; then echo s > $f/stray; fi"
            }
            1 => "if test -e $f; then touch $f; fi",
            _ => "rm -rf $f",
        };
        self.shell(format!(
            "for f in o{number} o{number}.* w/o{number} sub/o{number}; do {what}; done"
        ));
    }

    fn repro(&mut self, is_first: bool) {
        let stage = self.dice.below(self.stages.len());
        let name = self.stages[stage].target();
        let group = name.clone();
        let two = |flag: &str, name: &str| vec![flag.to_owned(), name.to_owned()];
        // With a missing input, DVC runs a stage that is forced, and fails after it.
        let may_force = self.gone.is_empty();
        let mut arguments = match self.dice.below(if is_first { 4 } else { 26 }) {
            0..=12 => Vec::new(),
            13..=14 => vec![name],
            15 => vec!["-k".to_owned()],
            16 if may_force => vec!["-f".to_owned()],
            17 => two("-s", &group),
            18 => two("--downstream", &name),
            19 if may_force => vec!["--force-downstream".to_owned()],
            20 => vec!["--no-run-cache".to_owned()],
            21 => vec!["--no-commit".to_owned()],
            22 => two("-p", &name),
            23 => two("--glob", "s*"),
            24 => vec!["--allow-missing".to_owned()],
            _ => vec!["-P".to_owned()],
        };
        // DVC has no order for several targets, so that none of them may be the last one.
        if !arguments.is_empty() && arguments != ["-k"] {
            arguments.push("-k".to_owned());
        }
        self.steps.push(Step::Repro(arguments));
    }

    /// What was taken away is there again, and all is made.
    fn heal(&mut self) {
        self.shell("rm -f fail.*".to_owned());
        for input in INPUTS {
            self.write(input, "z\n".to_owned());
        }
        let text = params_yaml(&mut self.dice);
        self.write("params.yaml", text);
        for stage in &mut self.stages {
            stage.thaw();
        }
        self.define();
        self.steps.push(Step::Repro(vec!["-P".to_owned()]));
    }
}
