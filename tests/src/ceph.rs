//! A Ceph cluster of one machine (Debian's `ceph-mon`, `ceph-osd`, `ceph-mgr`, `radosgw`) on loopback: an S3 server that was not made for
//! tests. Objects are held in memory, all else is below one folder.
//!
//! Missing, it fails the test; nothing is skipped.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use fs_err as fs;

use crate::peer::{Daemon, Peer, free_port};
use crate::{Run, run_command, tool};

/// Makes the bucket `assets`, which everybody may read: its address, and a user's two keys.
const BUCKET: &str = "import boto3, json, sys
s3 = boto3.client('s3', endpoint_url=sys.argv[1], region_name='us-east-1', aws_access_key_id=sys.argv[2], aws_secret_access_key=sys.argv[3])
s3.create_bucket(Bucket='assets')
s3.put_bucket_policy(Bucket='assets', Policy=json.dumps({'Version': '2012-10-17', 'Statement': [
    {'Effect': 'Allow', 'Principal': '*', 'Action': 's3:GetObject', 'Resource': 'arn:aws:s3:::assets/*'}]}))";

/// What is behind the gateway; ends with the test.
#[derive(Debug)]
pub struct Ceph {
    folder: PathBuf,
    daemons: Vec<Daemon>,
}

impl Ceph {
    /// Start a cluster and its gateway, with one user who has these keys, and a bucket.
    pub fn start(folder: &Path, (key_id, secret): (&str, &str)) -> (Self, Peer) {
        for name in ["run", "log", "mon", "mgr", "osd", "gateway"] {
            fs::create_dir_all(folder.join(name)).expect("made");
        }
        let mut ceph = Self {
            folder: folder.to_owned(),
            daemons: Vec::new(),
        };
        let gateway_port = free_port();
        let (monitor, cluster) = (free_port(), uuid());
        fs::write(
            ceph.at("ceph.conf"),
            configuration(folder, &cluster, monitor, gateway_port),
        )
        .expect("written");
        ceph.start_cluster(monitor, &cluster);
        let gateway = Peer::start_at(
            gateway_port,
            ceph.program("radosgw", &["-n", "client.gateway", "-f"]),
        );
        let user = ["user", "create", "--uid=t", "--display-name=t"];
        let mut add = ceph.program("radosgw-admin", &user);
        add.args([
            "-n",
            "client.gateway",
            "--access-key",
            key_id,
            "--secret-key",
            secret,
        ]);
        run_command(&mut add).ok();
        let mut bucket = Command::new(tool("python"));
        run_command(bucket.args(["-c", BUCKET, &gateway.url(), key_id, secret])).ok();
        (ceph, gateway)
    }

    fn start_cluster(&mut self, monitor: u16, cluster: &str) {
        let address = format!("[v1:127.0.0.1:{monitor}]");
        let map = ["--create", "--addv", "a", &address, "--fsid", cluster, "map"];
        self.run("monmaptool", &map);
        let all = [
            "--cap", "mon", "allow *", "--cap", "osd", "allow *", "--cap", "mgr", "allow *",
        ];
        self.run(
            "ceph-authtool",
            &[
                "--create-keyring",
                "keyring",
                "--gen-key",
                "-n",
                "mon.",
                "--cap",
                "mon",
                "allow *",
            ],
        );
        self.run(
            "ceph-authtool",
            &[&["keyring", "--gen-key", "-n", "client.admin"], &all[..]].concat(),
        );
        self.run(
            "ceph-mon",
            &[
                "-c",
                "ceph.conf",
                "--mkfs",
                "-i",
                "a",
                "--monmap",
                "map",
                "--keyring",
                "keyring",
            ],
        );
        self.daemon("ceph-mon", &["-i", "a", "-f"]);
        let disk = uuid();
        self.monitor(&["osd", "new", &disk]);
        self.run(
            "ceph-osd",
            &["-c", "ceph.conf", "-i", "0", "--mkfs", "--osd-uuid", &disk],
        );
        self.start_disk();
        self.daemon("ceph-mgr", &["-i", "x", "-f"]);
        let add = [
            "osd",
            "crush",
            "add",
            "osd.0",
            "1.0",
            "root=default",
            "host=localhost",
        ];
        self.monitor(&add);
    }

    /// Start the disk and wait until the monitor has it. One that asks the monitor before that has told which cluster it is ends by itself
    /// ("wrong fsid"), and is started again, as the system does with Ceph's own units.
    fn start_disk(&mut self) {
        for _ in 0..5 {
            let mut disk = Daemon::start(&mut self.program("ceph-osd", &["-i", "0", "-f"]));
            for _ in 0..120 {
                if disk.has_ended() {
                    break;
                }
                let state = self.monitor(&["osd", "stat", "--format=json"]);
                if state.stdout().contains("\"num_up_osds\":1") {
                    self.daemons.push(disk);
                    return;
                }
                std::thread::sleep(Duration::from_millis(200));
            }
        }
        panic!("the disk does not come up");
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// A program of Ceph's in its folder.
    fn program(&self, name: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(name);
        command.args(["-c", "ceph.conf"]).args(arguments);
        command.current_dir(&self.folder).env_remove("CEPH_CONF");
        command
    }

    /// Ask the monitor. One that is about to start, or has no time, refuses to say what it can be asked; then it is asked again.
    fn monitor(&self, arguments: &[&str]) -> Run {
        for _ in 0..100 {
            let asked = run_command(&mut self.program("ceph", arguments));
            if !asked.stderr().contains("problem getting command descriptions") {
                return asked.ok();
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        run_command(&mut self.program("ceph", arguments)).ok()
    }

    /// A tool of Ceph's, to its end.
    fn run(&self, name: &str, arguments: &[&str]) {
        let mut command = Command::new(name);
        run_command(command.args(arguments).current_dir(&self.folder)).ok();
    }

    fn daemon(&mut self, name: &str, arguments: &[&str]) {
        let daemon = Daemon::start(&mut self.program(name, arguments));
        self.daemons.push(daemon);
    }
}

/// The configuration of a cluster of one disk, which is in memory.
fn configuration(folder: &Path, cluster: &str, monitor: u16, gateway: u16) -> String {
    let at = folder.display();
    format!(
        "[global]
fsid = {cluster}
mon host = v1:127.0.0.1:{monitor}
mon initial members = a
public network = 127.0.0.0/8
cluster network = 127.0.0.0/8
auth cluster required = none
auth service required = none
auth client required = none
mon allow pool size one = true
mon data avail crit = 0
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 8
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
osd objectstore = memstore
memstore device bytes = 2147483648
ms bind ipv6 = false
run dir = {at}/run
log file = {at}/log/$name.log
admin socket = {at}/run/$name.asok
pid file = {at}/run/$name.pid
keyring = {at}/keyring
[mon]
mon data = {at}/mon
[mgr]
mgr data = {at}/mgr
[osd]
osd data = {at}/osd
public addr = 127.0.0.1
cluster addr = 127.0.0.1
[client.gateway]
rgw frontends = beast endpoint=127.0.0.1:{gateway} tcp_nodelay=1
rgw data = {at}/gateway
"
    )
}

fn uuid() -> String {
    fs::read_to_string("/proc/sys/kernel/random/uuid")
        .expect("Linux has it")
        .trim()
        .to_owned()
}
