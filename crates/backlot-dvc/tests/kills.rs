//! Runs that are killed: outputs are old or new, never half, and nothing that a stage started is left.
//!
//! The program is its own supervisor (`supervise`) and the run that is killed (`reproduce`). Deliberately absent: power cuts.

use std::io::Write as _;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let first = arguments.next().unwrap_or_default();
    if first == "supervise" {
        let code = backlot_dvc::pipeline::run::supervise(arguments);
        return ExitCode::from(u8::try_from(code).unwrap_or(127));
    }
    harness(&first.to_string_lossy())
}

#[cfg(not(unix))]
fn harness(_first: &str) -> ExitCode {
    ExitCode::SUCCESS
}

#[cfg(unix)]
fn harness(first: &str) -> ExitCode {
    if first == "reproduce" {
        return unix::reproduce_here();
    }
    let tests: [(&str, fn()); 4] = [
        (
            "a_killed_run_leaves_old_or_new_outputs_and_no_process",
            unix::a_killed_run_leaves_old_or_new_outputs_and_no_process,
        ),
        (
            "exit_codes_and_signals_are_those_of_the_command",
            unix::exit_codes_and_signals_are_those_of_the_command,
        ),
        (
            "nothing_that_a_stage_started_outlives_it",
            unix::nothing_that_a_stage_started_outlives_it,
        ),
        (
            "a_command_that_ignores_the_request_is_killed_after_the_grace_time",
            unix::a_command_that_ignores_the_request_is_killed_after_the_grace_time,
        ),
    ];
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut out = std::io::stdout();
    if arguments.iter().any(|argument| argument == "--list") {
        for (name, _) in tests {
            writeln!(out, "{name}: test").ok();
        }
        return ExitCode::SUCCESS;
    }
    let filters: Vec<&String> = arguments.iter().filter(|a| !a.starts_with('-')).collect();
    for (name, test) in tests {
        if filters.is_empty() || filters.iter().any(|filter| name.contains(*filter)) {
            test();
            writeln!(out, "test {name} ... ok").ok();
        }
    }
    ExitCode::SUCCESS
}

#[cfg(unix)]
mod unix {
    use std::ffi::OsString;
    use std::path::{Path, PathBuf};
    use std::process::{Command, ExitCode, Stdio};
    use std::time::{Duration, Instant};

    use backlot_core::Context;
    use backlot_dvc::Result;
    use backlot_dvc::pipeline::run::{
        Exit, LocalExecutor, Outcome, Project, Report, RunOptions, Supervisor, recover, reproduce,
    };
    use backlot_store::{Cache, StatCache};
    use fs_err as fs;

    /// A variable by which the processes of a test are found.
    const MARK: &str = "BACKLOT_TEST_MARK";
    /// How long the system may take to end processes that were killed.
    const PATIENCE: Duration = Duration::from_mins(1);
    const ROUNDS: u64 = 30;

    fn executor(mark: &str) -> LocalExecutor {
        let environment: Vec<(OsString, OsString)> = vec![
            ("PATH".into(), "/usr/bin:/bin".into()),
            (MARK.into(), mark.into()),
        ];
        let supervisor = Supervisor {
            program: std::env::current_exe().expect("a program"),
            arguments: vec!["supervise".into()],
        };
        LocalExecutor::new(environment)
            .with_supervisor(Some(supervisor))
            .with_grace(Duration::from_millis(100))
    }

    struct Place {
        _temporary: tempfile::TempDir,
        top: PathBuf,
        root: PathBuf,
        mark: String,
    }

    impl Place {
        fn new(name: &str, definitions: &str) -> Self {
            let temporary = tempfile::tempdir().expect("a folder");
            let top = temporary.path().canonicalize().expect("a path");
            let root = top.join("project");
            fs::create_dir_all(&root).expect("made");
            fs::write(root.join("dvc.yaml"), definitions).expect("written");
            Self {
                mark: format!("{name}-{}-{}", std::process::id(), top.display()),
                _temporary: temporary,
                top,
                root,
            }
        }

        fn reproduce(&self, options: &RunOptions) -> Result<Report> {
            with_project(&self.top, |project| {
                reproduce(project, options, &executor(&self.mark), &Context::default())
            })
        }

        fn read(&self, path: &str) -> Option<String> {
            fs::read_to_string(self.root.join(path)).ok()
        }

        /// The processes that this test started, but for this one.
        fn processes(&self) -> Vec<String> {
            let mark = format!("{MARK}={}", self.mark);
            let mut found = Vec::new();
            for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
                let folder = entry.path();
                // One that ended meanwhile, or is another user's, cannot be read.
                let environment = fs::read(folder.join("environ"));
                let is_ours = environment
                    .unwrap_or_default()
                    .split(|byte| *byte == 0)
                    .any(|variable| variable == mark.as_bytes());
                if is_ours {
                    let command = fs::read(folder.join("cmdline")).unwrap_or_default();
                    let command = String::from_utf8_lossy(&command).replace('\0', " ");
                    found.push(format!("{}: {command}", folder.display()));
                }
            }
            found
        }

        /// All of them end, without being asked to by this test.
        fn assert_alone(&self, what: &str) {
            let deadline = Instant::now() + PATIENCE;
            loop {
                let left = self.processes();
                if left.is_empty() {
                    return;
                }
                assert!(Instant::now() < deadline, "{what}: {left:#?}");
                std::thread::sleep(Duration::from_millis(10));
            }
        }
    }

    fn with_project<T>(top: &Path, act: impl FnOnce(&Project<'_>) -> T) -> T {
        let state = top.join("state");
        fs::create_dir_all(&state).expect("made");
        let cache = Cache::open(&top.join("cache")).expect("opened");
        let stat = StatCache::open(&state.join("stat.db"))
            .expect("opened")
            .beside(&cache);
        act(&Project::new(top.join("project"), &state, &cache, &stat))
    }

    /// What the killed process does: `reproduce TOP MARK`.
    pub(super) fn reproduce_here() -> ExitCode {
        let mut arguments = std::env::args().skip(2);
        let (top, mark) = (
            arguments.next().expect("a folder"),
            arguments.next().expect("a mark"),
        );
        let report = with_project(Path::new(&top), |project| {
            let options = RunOptions::default().jobs(3);
            reproduce(project, &options, &executor(&mark), &Context::default())
        });
        match report.map(|report| report.check()) {
            Ok(Ok(())) => ExitCode::SUCCESS,
            other => panic!("{other:?}"),
        }
    }

    /// Six stages that write slowly, in files and folders, with processes in the background and in sessions of their own.
    fn slow_pipeline() -> String {
        let write = |word: &str, to: &str| {
            format!("for n in 1 2 3 4 5; do echo $(head -n 1 {word}) $n; sleep 0.01; done > {to}")
        };
        let stage = |name: &str, command: &str, dep: &str, out: &str| {
            format!("  {name}:\n    cmd:\n    - {command}\n    deps: [{dep}]\n    outs: [{out}]\n")
        };
        let mut text = "stages:\n".to_owned();
        text += &stage("a", &write("in", "a.out"), "in", "a.out");
        text += &stage(
            "b",
            &format!("sleep 300 & {}", write("a.out", "b.out")),
            "a.out",
            "b.out",
        );
        text += &stage(
            "c",
            &format!("setsid sleep 300 & mkdir c; {}", write("a.out", "c/x")),
            "a.out",
            "c",
        );
        text += &stage(
            "d",
            &format!(
                "mkdir d; for f in x y; do cp b.out d/$f; sleep 0.02; done; {}",
                write("b.out", "d/z")
            ),
            "b.out",
            "d",
        );
        text += &stage("e", &write("c/x", "e.out"), "c", "e.out");
        text += &stage("f", &write("d/z", "f.out"), "d", "f.out");
        text
    }

    const OUTPUTS: [&str; 8] = ["a.out", "b.out", "c/x", "d/x", "d/y", "d/z", "e.out", "f.out"];

    /// The word that an output was made of. All of an output is of one word.
    fn word_of(text: &str) -> String {
        let words: Vec<&str> = text.lines().filter_map(|line| line.split(' ').next()).collect();
        assert_eq!(words.len(), 5, "half: {text:?}");
        assert!(words.iter().all(|word| *word == words[0]), "half: {text:?}");
        words[0].to_owned()
    }

    pub(super) fn a_killed_run_leaves_old_or_new_outputs_and_no_process() {
        let place = Place::new("killed", &slow_pipeline());
        fs::write(place.root.join("in"), "w0\n").expect("written");
        let report = place.reproduce(&RunOptions::default()).expect("reproduced");
        report.check().expect("it succeeded");
        let mut seed = 0x2545_f491_4f6c_dd1d_u64;
        let mut interrupted = 0;
        for round in 1..=ROUNDS {
            // What is known from an interrupted round may be taken, never half of it.
            fs::write(place.root.join("in"), format!("w{round}\n")).expect("written");
            let mut child = Command::new(std::env::current_exe().expect("a program"))
                .arg("reproduce")
                .args([&place.top, &PathBuf::from(&place.mark)])
                .stdout(Stdio::null())
                .spawn()
                .expect("started");
            seed = seed
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            std::thread::sleep(Duration::from_millis((seed >> 33) % 600));
            let signal = ["-KILL", "-TERM", "-INT"][usize::try_from(round % 3).expect("small")];
            // It may have ended; then there is nothing to interrupt.
            Command::new("kill")
                .args([signal, &child.id().to_string()])
                .stderr(Stdio::null())
                .status()
                .expect("started");
            let status = child.wait().expect("waited");
            interrupted += u64::from(!status.success());
            place.assert_alone(&format!("round {round}, {signal}"));
            let known = [format!("w{}", round - 1), format!("w{round}")];
            with_project(&place.top, |project| {
                recover(project, &Context::default()).expect("recovered");
            });
            for output in OUTPUTS {
                let text = place
                    .read(output)
                    .unwrap_or_else(|| panic!("round {round}: no {output}"));
                let word = word_of(&text);
                assert!(known.contains(&word), "round {round}: {output} is of {word}");
            }
            let folder = |name: &str| ["x", "y", "z"].map(|file| place.read(&format!("{name}/{file}")));
            let words = folder("d").map(|text| word_of(&text.expect("there")));
            assert!(
                words.iter().all(|word| *word == words[0]),
                "round {round}: {words:?}"
            );
            let report = place.reproduce(&RunOptions::default()).expect("reproduced");
            report.check().expect("it succeeded");
            for output in OUTPUTS {
                assert_eq!(word_of(&place.read(output).expect("there")), known[1]);
            }
            let report = place.reproduce(&RunOptions::default()).expect("reproduced");
            assert_eq!(
                report.with(Outcome::Skipped).len(),
                6,
                "round {round}: {report:#?}"
            );
        }
        // A run takes at least the fifth of a second that its commands sleep one after the other.
        assert!(interrupted > 2, "only {interrupted} runs were interrupted");
    }

    fn exit_of(command: &str) -> Exit {
        let text = format!("stages:\n  s:\n    cmd: {command}\n    outs: [o]\n");
        let place = Place::new("exit", &text);
        let report = place.reproduce(&RunOptions::default()).expect("ended");
        place.assert_alone(command);
        report.stages[0].exit.expect("it was started")
    }

    pub(super) fn exit_codes_and_signals_are_those_of_the_command() {
        assert_eq!(exit_of("exit 7"), Exit::Code(7));
        assert_eq!(exit_of("exit 255"), Exit::Code(255));
        assert_eq!(exit_of("kill -9 $$"), Exit::Signal(9));
        assert_eq!(exit_of("kill -TERM $$"), Exit::Signal(15));
        assert_eq!(exit_of("no-such-command"), Exit::Code(127));
        assert_eq!(exit_of("touch o"), Exit::Code(0));
    }

    pub(super) fn nothing_that_a_stage_started_outlives_it() {
        for command in [
            "echo x > o; sleep 300 & sleep 300 &",
            "echo x > o; setsid sleep 300 & (setsid sh -c \"sleep 300 & sleep 300\" &)",
            "echo x > o; nohup sleep 300 >/dev/null 2>&1 &",
        ] {
            let text = format!("stages:\n  s:\n    cmd: '{command}'\n    outs: [o]\n");
            let place = Place::new("outlives", &text);
            let report = place.reproduce(&RunOptions::default()).expect("ended");
            assert_eq!(report.with(Outcome::Ran), ["s"], "{report:#?}");
            assert_eq!(place.processes(), [""; 0], "{command}");
        }
    }

    pub(super) fn a_command_that_ignores_the_request_is_killed_after_the_grace_time() {
        let text = "stages:\n  s:\n    cmd: trap \"\" TERM; while true; do sleep 0.05; done\n    outs: [o]\n";
        let place = Place::new("ignores", text);
        let options = RunOptions::default().time_limit(Some(Duration::from_millis(300)));
        let report = place.reproduce(&options).expect("ended");
        assert_eq!(report.stages[0].exit, Some(Exit::TimeLimit));
        assert_eq!(place.processes(), [""; 0]);
    }
}
