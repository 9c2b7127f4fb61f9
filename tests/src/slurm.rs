//! A Slurm cluster of one machine (Debian's `slurm-wlm` and `munge`) on loopback, with everything below one folder.
//!
//! Runs as root in a container or as anybody, who is the cluster's user then. Missing, it fails the test; nothing is skipped.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use fs_err as fs;
use serde_json::Value;

use crate::peer::{Daemon, free_port};
use crate::sshd::find;
use crate::{Run, Studio, noise, run_command};

/// A cluster that ends with the test.
#[derive(Debug)]
pub struct Slurm {
    folder: PathBuf,
    _munge: Daemon,
    controller: Option<Daemon>,
    node: Option<Daemon>,
}

impl Slurm {
    /// Start a cluster whose job arrays have fewer tasks than this.
    pub fn start(folder: &Path, array_size: usize) -> Self {
        for name in ["munge", "state", "spool", "log"] {
            fs::create_dir_all(folder.join(name)).expect("made");
        }
        let munge = start_munge(&folder.join("munge"));
        let user = run_command(Command::new("id").arg("-un")).ok().stdout();
        let text = configuration(folder, user.trim(), array_size);
        fs::write(folder.join("slurm.conf"), text).expect("written");
        let mut slurm = Self {
            folder: folder.to_path_buf(),
            _munge: munge,
            controller: None,
            node: None,
        };
        slurm.start_controller();
        let configuration = slurm.configuration();
        let mut node = Command::new(find("slurmd"));
        node.args(["-D", "-N", "localhost", "-f"]).arg(&configuration);
        slurm.node = Some(Daemon::start(node.env("SLURM_CONF", &configuration)));
        slurm.wait_for("an idle node", |slurm| {
            slurm.run("sinfo", &["-h", "-o", "%T"]).stdout().trim() == "idle"
        });
        slurm
    }

    /// Start the controller, with what the one before left.
    pub fn start_controller(&mut self) {
        let mut controller = Command::new(find("slurmctld"));
        controller.arg("-D").arg("-f").arg(self.configuration());
        self.controller = Some(Daemon::start(controller.env("SLURM_CONF", self.configuration())));
        self.wait_for("the controller", |slurm| {
            slurm.run("scontrol", &["ping"]).stdout().contains("is UP")
        });
    }

    /// End the controller, which saves what it knows; jobs go on.
    pub fn stop_controller(&mut self) {
        self.controller.take().into_iter().for_each(Daemon::end);
    }

    /// Where its configuration is.
    pub fn configuration(&self) -> PathBuf {
        self.folder.join("slurm.conf")
    }

    /// Run one of its commands.
    pub fn run(&self, name: &str, arguments: &[&str]) -> Run {
        run_command(
            Command::new(name)
                .args(arguments)
                .env("SLURM_CONF", self.configuration()),
        )
    }

    /// The command in a workspace, where this cluster is known.
    pub fn command(&self, studio: &Studio, workspace: &str, arguments: &[&str]) -> Command {
        let mut command = studio.command(&[&["-w", workspace], arguments].concat());
        command.env("SLURM_CONF", self.configuration());
        command
    }

    /// Run it.
    pub fn cascade(&self, studio: &Studio, workspace: &str, arguments: &[&str]) -> Run {
        let arguments = [&["cascade"], arguments, &["--json"]].concat();
        run_command(&mut self.command(studio, workspace, &arguments))
    }

    /// The rows of its queue, of jobs that it still knows.
    pub fn queue(&self) -> Vec<Value> {
        let queue = self.run("squeue", &["--json"]).json();
        queue["jobs"].as_array().expect("jobs").clone()
    }

    fn wait_for(&self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let begun = Instant::now();
        while !is_so(self) {
            if begun.elapsed() > Duration::from_mins(1) {
                let log =
                    |name: &str| fs::read_to_string(self.folder.join("log").join(name)).unwrap_or_default();
                panic!("{what} never came: {}{}", log("slurmctld.log"), log("slurmd.log"));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

impl Drop for Slurm {
    /// Jobs are processes of their own, which outlive the daemons.
    fn drop(&mut self) {
        if self.controller.is_none() {
            return;
        }
        run_command(
            Command::new("scancel")
                .arg("--user")
                .arg(run_command(Command::new("id").arg("-un")).stdout().trim())
                .env("SLURM_CONF", self.configuration()),
        );
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(20) {
            let running = self.run("squeue", &["-h"]);
            if running.stdout().trim().is_empty() {
                return;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

/// The service that proves who asks.
fn start_munge(folder: &Path) -> Daemon {
    fs::write(folder.join("key"), noise(1024, u64::from(std::process::id()))).expect("written");
    for path in [folder.join("key"), folder.to_path_buf()] {
        run_command(Command::new("chmod").arg("go=").arg(path)).ok();
    }
    let mut command = Command::new(find("munged"));
    command.args(["--foreground", "--force"]);
    for (option, name) in [
        ("socket", "munge.sock"),
        ("key-file", "key"),
        ("pid-file", "pid"),
        ("log-file", "log"),
        ("seed-file", "seed"),
    ] {
        command.arg(format!("--{option}={}", folder.join(name).display()));
    }
    let daemon = Daemon::start(&mut command);
    let begun = Instant::now();
    while !folder.join("munge.sock").exists() {
        assert!(
            begun.elapsed() < Duration::from_mins(1),
            "munged does not start: {}",
            fs::read_to_string(folder.join("log")).unwrap_or_default()
        );
        std::thread::sleep(Duration::from_millis(50));
    }
    daemon
}

/// One node with many more processors than there are, so that tests wait for jobs and not for room. Nothing is accounted.
fn configuration(folder: &Path, user: &str, array_size: usize) -> String {
    let (at, controller, node) = (folder.display(), free_port(), free_port());
    format!(
        "ClusterName=test
SlurmctldHost=localhost(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={at}/munge/munge.sock
CredType=cred/munge
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
SlurmctldPort={controller}
SlurmdPort={node}
StateSaveLocation={at}/state
SlurmdSpoolDir={at}/spool
SlurmctldPidFile={at}/slurmctld.pid
SlurmdPidFile={at}/slurmd.pid
SlurmctldLogFile={at}/log/slurmctld.log
SlurmdLogFile={at}/log/slurmd.log
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
MailProg=/bin/true
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
SchedulerParameters=sched_min_interval=200000,batch_sched_delay=0
MaxJobCount=20000
MaxArraySize={array_size}
KillWait=30
NodeName=localhost NodeAddr=127.0.0.1 CPUs=4 RealMemory=2000 State=UNKNOWN
PartitionName=farm Nodes=localhost Default=YES MaxTime=INFINITE State=UP
"
    )
}

/// Have a command find the programs of a folder before others of their names.
pub fn before_others(command: &mut Command, folder: &Path) {
    let rest = std::env::var("PATH").expect("a path");
    command.env("PATH", format!("{}:{rest}", folder.display()));
}
