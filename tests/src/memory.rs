//! How much memory a command takes.

use std::process::Command;

use crate::{Run, Studio, run_command};

/// Runs a command and tells the peak of its memory on the last line of its error output.
const WATCH: &str = "import resource, subprocess, sys
code = subprocess.run(sys.argv[1:]).returncode
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=sys.stderr)
sys.exit(code)";

/// Run `backlot`; what it printed, and the peak of its memory in KiB.
pub fn watched(studio: &Studio, arguments: &[&str]) -> (Run, u64) {
    let plain = studio.command(arguments);
    let mut watched = Command::new("python3");
    watched
        .args(["-c", WATCH])
        .arg(plain.get_program())
        .args(plain.get_args())
        .current_dir(studio.root())
        .envs(plain.get_envs().filter_map(|(key, value)| Some((key, value?))));
    let run = run_command(&mut watched);
    let told = run.stderr();
    let peak = told.lines().last().and_then(|line| line.trim().parse().ok());
    (run, peak.expect("a number"))
}
