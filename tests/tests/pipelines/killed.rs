//! Pipeline runs and updates of imports that are stopped at random points, by signals and by full disks: files are old or new,
//! never partial; no process of a stage is left; a rerun completes, and runs only what is needed.
//!
//! 25 stops of each kind; built with `BACKLOT_HEAVY=1` in the environment 100. Full disks need the right to mount.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use backlot_tests::disks::Disk;
use backlot_tests::peer::Peer;
use backlot_tests::{Random, Run, Studio, noise, run_command};
use fs_err as fs;
use serde_json::Value;

const ROUNDS: u64 = if option_env!("BACKLOT_HEAVY").is_some() {
    100
} else {
    25
};
/// A variable by which processes are found that a run started.
const MARK: &str = "BACKLOT_TEST_MARK";
/// How long the system may take to end processes that were killed.
const PATIENCE: Duration = Duration::from_mins(1);
/// The workspace and the cache are on a disk of their own, which can be full.
const DISK: &str = "disk";
const MODULE: &str = "disk/ws/outputs/shot/src/shot";
const DISK_BYTES: u64 = 64 << 20;
/// Lines of an output of a stage.
const LINES: usize = 2_000;
const OUTPUTS: [(&str, &str); 8] = [
    ("a", "a.out"),
    ("b", "b.out"),
    ("c", "c/x"),
    ("d", "d/x"),
    ("d", "d/y"),
    ("d", "d/z"),
    ("e", "e.out"),
    ("f", "f.out"),
];

struct Shot {
    studio: Studio,
    mark: String,
    _disk: Option<Disk>,
    can_be_full: bool,
}

/// Six stages, files and folders, that write slowly; with processes in the background and in sessions of their own. Another one has
/// nothing to do with them.
fn definitions() -> String {
    let write = |from: &str, to: &str| {
        format!(
            "set -e; w=$(head -n 1 {from} | cut -d ' ' -f 1); for p in 1 2 3 4 5; do seq -f \"$w %g\" {}; sleep 0.01; done > {to}",
            LINES / 5
        )
    };
    let stage = |name: &str, command: &str, dep: &str, out: &str| {
        format!("  {name}:\n    cmd:\n    - {command}\n    deps: [{dep}]\n    outs: [{out}]\n")
    };
    let copies = "mkdir d; for f in x y; do cp b.out d/$f; sleep 0.02; done";
    [
        "stages:\n".to_owned(),
        stage("a", &write("in", "a.out"), "in", "a.out"),
        stage(
            "b",
            &format!("sleep 300 & {}", write("a.out", "b.out")),
            "a.out",
            "b.out",
        ),
        stage(
            "c",
            &format!("setsid sleep 300 & mkdir c; {}", write("a.out", "c/x")),
            "a.out",
            "c",
        ),
        stage(
            "d",
            &format!("set -e; {copies}; {}", write("b.out", "d/z")),
            "b.out",
            "d",
        ),
        stage("e", &write("c/x", "e.out"), "c", "e.out"),
        stage("f", &write("d/z", "f.out"), "d", "f.out"),
        "  idle:\n    cmd: echo 1 > idle.out\n    outs: [idle.out]\n".to_owned(),
    ]
    .concat()
}

impl Shot {
    fn new() -> Self {
        let studio = Studio::empty();
        let disk = Disk::small(&studio.path(DISK), DISK_BYTES);
        let mark = format!("{}-{}", std::process::id(), studio.root().display());
        let shot = Self {
            can_be_full: disk.is_some(),
            _disk: disk,
            studio,
            mark,
        };
        shot.run(&["init", "disk/ws", "--python", "none"]).ok();
        shot.ws(&["new", "Shot"]).ok();
        shot.studio
            .write(&format!("{MODULE}/dvc.yaml"), definitions().as_bytes());
        shot
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.studio.command(arguments);
        command
            .env("BACKLOT_CACHE_DIR", self.studio.path("disk/cache"))
            .env(MARK, &self.mark);
        command
    }

    fn run(&self, arguments: &[&str]) -> Run {
        run_command(&mut self.command(arguments))
    }

    fn ws(&self, arguments: &[&str]) -> Run {
        self.run(&[&["-w", "disk/ws"], arguments].concat())
    }

    fn read(&self, path: &str) -> Option<String> {
        fs::read_to_string(self.studio.path(MODULE).join(path)).ok()
    }

    /// The processes that a run started.
    fn processes(&self) -> Vec<String> {
        let mark = format!("{MARK}={}", self.mark);
        let mut found = Vec::new();
        for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
            let folder = entry.path();
            // One that ended meanwhile, or is another user's, cannot be read.
            let environment = fs::read(folder.join("environ")).unwrap_or_default();
            let mut variables = environment.split(|byte| *byte == 0);
            if variables.any(|variable| variable == mark.as_bytes()) {
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

    /// Start a run and stop it after some time with a signal; to it alone, or to all of its group as a terminal does.
    fn stop(&self, after: Duration, signal: &str, whole_group: bool) {
        use std::os::unix::process::CommandExt as _;
        let mut command = self.command(&["-w", "disk/ws", "repro", "Shot", "-j", "3"]);
        command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0);
        let mut child = command.spawn().expect("the command starts");
        std::thread::sleep(after);
        let group = if whole_group { "-" } else { "" };
        let mut kill = Command::new("kill");
        kill.args([signal, "--", &format!("{group}{}", child.id())]);
        // It may have ended; then there is nothing to stop.
        kill.stderr(Stdio::null()).status().expect("started");
        child.wait().expect("waited");
    }

    /// Run on a disk that has only that many bytes left.
    fn fill(&self, left: u64) -> Run {
        let filler = self.studio.path("disk/filler");
        let free = || {
            let mut df = Command::new("df");
            df.args(["--output=avail", "-B1"]).arg(self.studio.path(DISK));
            let text = run_command(&mut df).ok().stdout();
            let free = text
                .lines()
                .nth(1)
                .and_then(|line| line.trim().parse::<u64>().ok());
            free.expect("a number")
        };
        let bytes = free().saturating_sub(left);
        fs::write(&filler, vec![1; usize::try_from(bytes).expect("small")]).expect("filled");
        let run = self.ws(&["repro", "Shot", "-j", "3", "--json"]);
        fs::remove_file(&filler).expect("removed");
        run
    }
}

/// The outcome of each of the six stages.
fn outcomes(report: &Value) -> Vec<(String, String)> {
    let stages = report["stages"].as_array().expect("stages").iter();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let named = stages.map(|stage| {
        let name = text(&stage["stage"]);
        let name = name.rsplit(':').next().unwrap_or_default().to_owned();
        (name, text(&stage["outcome"]) + &text(&stage["state"]))
    });
    named.filter(|(name, _)| name != "idle").collect()
}

/// The word that an output was made of; all of its lines are of one word.
fn word_of(text: &str) -> &str {
    let words: Vec<&str> = text.lines().filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(words.len(), LINES, "half an output");
    assert!(words.iter().all(|word| *word == words[0]), "two outputs in one");
    words[0]
}

#[test]
fn a_stopped_run_leaves_old_or_new_outputs_and_no_process_and_a_rerun_makes_only_the_rest() {
    let shot = Shot::new();
    let input = format!("{MODULE}/in");
    shot.studio.write(&input, b"w0\n");
    let start = Instant::now();
    shot.ws(&["repro", "Shot"]).ok();
    let whole = start.elapsed();
    let mut random = Random(0x5eed);
    let (mut interrupted, mut full) = (0, 0);
    for round in 1..=ROUNDS {
        shot.studio.write(&input, format!("w{round}\n").as_bytes());
        let (signal, group) = [
            ("-KILL", false),
            ("-TERM", false),
            ("-INT", false),
            ("-INT", true),
        ][usize::try_from(random.next() % 4).expect("small")];
        let what = if shot.can_be_full && round % 4 == 0 {
            let left = random.next() % 400_000;
            full += u64::from(!shot.fill(left).output.status.success());
            format!("round {round}, {left} bytes left")
        } else {
            let share = u32::try_from(random.next() % 1000).expect("small");
            shot.stop(whole * share / 1000, signal, group);
            format!("round {round}, {signal}")
        };
        shot.assert_alone(&what);
        // Any run puts outputs in order first.
        shot.ws(&["repro", "Shot:idle"]).ok();
        let known = [format!("w{}", round - 1), format!("w{round}")];
        for (_, output) in OUTPUTS {
            let text = shot.read(output).unwrap_or_else(|| panic!("{what}: no {output}"));
            let word = word_of(&text);
            assert!(
                known.iter().any(|known| known == word),
                "{what}: {output} is of {word}"
            );
        }
        let folder = ["d/x", "d/y", "d/z"].map(|file| shot.read(file).expect("there"));
        let words: BTreeSet<&str> = folder.iter().map(|text| word_of(text)).collect();
        assert_eq!(words.len(), 1, "{what}: {words:?}");

        let status = shot.ws(&["status", "--json"]).ok().json();
        let states = outcomes(&status);
        let report = shot.ws(&["repro", "Shot", "--json"]).ok().json();
        let made = outcomes(&report);
        assert_eq!(states.len(), 6, "{status:#}");
        for ((name, state), (other, outcome)) in states.iter().zip(&made) {
            assert_eq!(name, other);
            let is_current = state == "up-to-date";
            assert_eq!(
                is_current,
                outcome == "skipped",
                "{what}: {name} was {state}, {outcome}"
            );
        }
        interrupted += u64::from(made.iter().any(|(_, outcome)| outcome != "skipped"));
        for (stage, output) in OUTPUTS {
            let text = shot.read(output).expect("there");
            assert_eq!(word_of(&text), known[1], "{what}: {stage}");
        }
        let again = shot.ws(&["repro", "Shot", "--json"]).ok().json();
        let idle = outcomes(&again).iter().all(|(_, outcome)| outcome == "skipped");
        assert!(idle, "{what}: {again:#}");
        let aside = shot.studio.path("disk/ws/.backlot/pipelines/aside");
        assert_eq!(fs::read_dir(aside).map_or(0, Iterator::count), 0, "{what}");
    }
    assert!(
        interrupted > ROUNDS / 4,
        "only {interrupted} runs were stopped before their end"
    );
    assert!(full > 0 || !shot.can_be_full, "no run came upon the full disk");
}

const PLATES: usize = 40;
const PLATE: usize = 30_000;
const WEB: &str = "import functools, http.server, sys
class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_): pass
handler = functools.partial(Quiet, directory=sys.argv[2])
http.server.ThreadingHTTPServer(('127.0.0.1', int(sys.argv[1])), handler).serve_forever()";

fn plates(studio: &Studio, version: u64) {
    for number in 0..PLATES as u64 {
        // Some stay as they are.
        let seed = if number % 3 == 0 {
            number
        } else {
            1_000 * version + number
        };
        studio.write(
            &format!("source/plates/p.{number:04}.exr"),
            &noise(PLATE, 1 + seed),
        );
    }
    studio.write("source/scan.bin", &noise(4_000_000, 77 + version));
    // A web server tells times in seconds only.
    let touched = Command::new("touch")
        .args(["-d", &format!("@{}", 1_704_067_200 + 60 * version)])
        .arg(studio.path("source/scan.bin"))
        .status();
    assert!(touched.expect("started").success());
}

#[test]
fn an_update_of_imports_killed_anywhere_leaves_old_or_new_files_and_a_rerun_completes() {
    let studio = Studio::new();
    studio.ws(&["new", "Table"]).ok();
    let module = "ws/outputs/table/src/table";
    plates(&studio, 0);
    let server = Peer::python(WEB, studio.path("source"));
    let url = format!("{}/scan.bin", server.url());
    for source in ["source/plates", &url] {
        studio.ws(&["import-url", source, "--asset", "Table"]).ok();
    }
    let pointers = ["plates", "scan.bin"].map(|name| format!("{module}/{name}.dvc"));
    let update = ["-w", "ws", "update", &pointers[0], &pointers[1]];
    let imported = || {
        let mut files = studio.snapshot(module);
        // What is about to be renamed into its place has a name of its own.
        let is_temporary = |path: &str| {
            path.rsplit('/')
                .next()
                .is_some_and(|name| name.starts_with(".tmp-"))
        };
        files.retain(|path, _| (path.starts_with("plates/") || path == "scan.bin") && !is_temporary(path));
        files
    };
    let source = || {
        let mut files = studio.snapshot("source");
        files.retain(|path, _| path.starts_with("plates/") || path == "scan.bin");
        files
    };
    plates(&studio, 1);
    let start = Instant::now();
    studio.run(&update).ok();
    let whole = start.elapsed();
    let mut random = Random(0xf11e5);
    let mut interrupted = 0;
    for round in 2..2 + ROUNDS {
        let old = source();
        assert!(imported() == old, "round {round}");
        plates(&studio, round);
        let new = source();
        let mut child = studio.start(&update);
        let share = u32::try_from(random.next() % 1000).expect("small");
        std::thread::sleep(whole * share / 1000);
        child.kill().ok();
        child.wait().expect("it ends");
        assert_eq!(
            studio.wrong_objects("cache"),
            [] as [std::path::PathBuf; 0],
            "round {round}"
        );
        let now = imported();
        for (path, bytes) in &now {
            let is_whole = old.get(path) == Some(bytes) || new.get(path) == Some(bytes);
            assert!(is_whole, "round {round}: {path} is half");
        }
        assert!(old.keys().all(|path| now.contains_key(path)), "round {round}");
        interrupted += u64::from(now != new);
        // A pointer that was written says what is to be here: then a pull completes it.
        studio.run(&update).ok();
        studio.ws(&["pull"]).ok();
        assert!(imported() == new, "round {round}");
        let status = studio.ws(&["status", "--imports", "--json"]).ok().json();
        for import in status["imports"].as_array().expect("imports") {
            assert_eq!(import["state"], "up_to_date", "round {round}: {status:#}");
        }
    }
    assert!(
        interrupted > ROUNDS / 5,
        "only {interrupted} updates were stopped before their end"
    );
}
