//! Secrets do not leak: they are set in every source of credentials, then searched, after many commands, in all output and in
//! every created file, on this machine and on the servers.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use backlot_tests::door::Door;
use backlot_tests::stores::Store;
use backlot_tests::{Run, Studio, run_command};
use fs_err as fs;

/// What each source has; words that stand nowhere else.
const VARIABLE: &str = "planted-in-a-variable-7f3a";
const HELPER: &str = "planted-in-a-helper-91bc";
const FILE: &str = "planted-in-the-file-c4d0";
const NETRC: &str = "planted-in-netrc-2e58";
const PLANTED: [&str; 4] = [VARIABLE, HELPER, FILE, NETRC];

/// Where the secrets were planted, which may have them.
const PLACES: [&str; 5] = [
    "home/.netrc",
    "home/.config/backlot/credentials.json",
    "helper",
    "door/accepted",
    "door/log",
];

/// All that commands said.
struct Day<'s> {
    studio: &'s Studio,
    env: Vec<(String, String)>,
    said: Vec<(String, String)>,
}

impl Day<'_> {
    fn run(&mut self, workspace: &str, arguments: &[&str]) -> Run {
        let arguments = [&["-w", workspace], arguments].concat();
        let mut command = self.studio.command(&arguments);
        command.env("AWS_EC2_METADATA_DISABLED", "true");
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        let run = run_command(&mut command);
        self.said
            .push((arguments.join(" "), run.stdout() + &run.stderr()));
        run
    }

    /// Publish, push, pull, install, lock; all that reads; and what goes wrong.
    fn work(&mut self, source: &str, url: &str, endpoint: &[&str]) {
        let (here, there) = (format!("{source}-here"), format!("{source}-there"));
        let (here, there) = (here.as_str(), there.as_str());
        let repo = format!("{url}/{source}/repo");
        for workspace in [here, there] {
            self.studio.run(&["init", workspace]).ok();
            let add: &[&str] = &["repo", "add", "far", &repo, "-v"];
            self.run(workspace, &[add, endpoint].concat()).ok();
            for layout in ["chunked", "dvc"] {
                let files = format!("{url}/{source}/{layout}");
                let add: &[&str] = &["remote", "add", layout, &files, "--layout", layout, "--json"];
                self.run(workspace, &[add, endpoint].concat()).ok();
            }
        }
        self.run(here, &["new", "Shot"]).ok();
        let frames = format!("{here}/outputs/shot/src/shot/frames");
        self.studio.frames(&frames, 5, 30_000, 9);
        self.run(here, &["add", &frames, "-v"]).ok();
        self.run(here, &["push", "--remote", "dvc", "--json"]).ok();
        self.run(
            here,
            &["publish", "Shot", "--to", "far", "--remote", "chunked", "-v"],
        )
        .ok();
        self.run(here, &["publish", "Shot", "--to", "far", "--json"]);
        self.run(there, &["install", "Shot", "-v"]).ok();
        self.run(there, &["pull", "--remote", "chunked", "--json"]).ok();
        self.run(there, &["lock", "--upgrade", "--json"]).ok();
        self.run(there, &["export", "-o", "pylock.toml"]).ok();
        for arguments in [
            &["status", "--json"][..],
            &["list", "-v"],
            &["show", "Shot", "--json"],
            &["outdated"],
            &["tree"],
            &[
                "verify",
                "--remote",
                "chunked",
                "--releases",
                "--repo",
                "far",
                "-v",
            ],
            &["du", "--remote", "chunked"],
            &["gc", "--remote", "chunked", "--dry-run", "--json"],
            &["repo", "list", "--json"],
            &["remote", "list"],
            &["approve", "Shot==0.1.0", "--reason", "good"],
            &["auth", "list"],
            &["auth", "list", "--json"],
            &["auth", "test", "far", "--json"],
            &["auth", "test", "chunked"],
        ] {
            self.run(there, arguments);
        }
        self.failures(there, url, source, endpoint);
    }

    /// Errors, which quote much.
    fn failures(&mut self, there: &str, url: &str, source: &str, endpoint: &[&str]) {
        let before = self.env.clone();
        for (name, value) in &mut self.env {
            if name.ends_with("_PASSWORD") || name.ends_with("_TOKEN") {
                value.push_str("-and-wrong");
            }
        }
        for flag in ["-v", "--json"] {
            self.run(there, &["list", flag]);
            self.run(there, &["install", "Table", flag]);
            self.run(there, &["pull", "--remote", "dvc", "--force", flag]);
            self.run(there, &["auth", "test", "far", flag]);
            let repo = format!("{url}/{source}/none");
            let add: &[&str] = &["remote", "add", "gone", &repo, "--dry-run", flag];
            self.run(there, &[add, endpoint].concat());
        }
        self.env = before;
    }
}

/// A secret as it is, and as it goes over the line.
fn forms(user: &str) -> Vec<(String, Vec<u8>)> {
    let plain = PLANTED.map(|secret| (secret.to_owned(), secret.as_bytes().to_vec()));
    let sent = PLANTED.map(|secret| (format!("{secret} in base64"), base64(&format!("{user}:{secret}"))));
    plain.into_iter().chain(sent).collect()
}

/// Base64 without what depends on the end.
fn base64(text: &str) -> Vec<u8> {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let groups = text.as_bytes().chunks_exact(3);
    groups
        .flat_map(|three| {
            let bits = u32::from(three[0]) << 16 | u32::from(three[1]) << 8 | u32::from(three[2]);
            [18, 12, 6, 0].map(|shift| LETTERS[(bits >> shift & 63) as usize])
        })
        .collect()
}

fn has(bytes: &[u8], secret: &[u8]) -> bool {
    bytes.windows(secret.len()).any(|window| window == secret)
}

/// Every file below a folder, with what is packed in wheels and in frames of zstd.
fn all_bytes(studio: &Studio) -> BTreeMap<String, Vec<u8>> {
    let mut all = studio.snapshot(".");
    let mut packed = BTreeMap::new();
    for (path, bytes) in &all {
        if let Ok(mut archive) = zip::ZipArchive::new(std::io::Cursor::new(bytes)) {
            for number in 0..archive.len() {
                let mut member = archive.by_index(number).expect("a member");
                let mut text = Vec::new();
                member.read_to_end(&mut text).expect("readable");
                packed.insert(format!("{path}!{}", member.name().expect("a name")), text);
            }
        } else if let Ok(text) = zstd::decode_all(bytes.as_slice()) {
            packed.insert(format!("{path}!"), text);
        }
    }
    all.extend(packed);
    all.retain(|path, _| !PLACES.iter().any(|place| path == place));
    all
}

/// Nothing that was said or written has a secret in it.
fn nothing_leaked(day: &Day<'_>, user: &str) {
    let files = all_bytes(day.studio);
    assert!(
        files.keys().any(|path| path.contains(".whl!")),
        "no wheel was looked into"
    );
    assert!(files.keys().any(|path| path.ends_with(".dvc/config")));
    assert!(day.said.len() > 60);
    for (name, secret) in forms(user) {
        for (command, said) in &day.said {
            assert!(!has(said.as_bytes(), &secret), "`{command}` says {name}:\n{said}");
        }
        for (path, bytes) in &files {
            assert!(!has(bytes, &secret), "`{path}` has {name}");
        }
    }
}

#[test]
fn secrets_of_every_source_are_in_no_output_and_in_no_file_that_is_made() {
    let accepted = PLANTED.map(|secret| format!("ana:{secret}"));
    let door = Door::new(&accepted.each_ref().map(String::as_str));
    let studio = &door.studio;
    let url = door.dav("team");
    let mut day = Day {
        studio,
        env: Vec::new(),
        said: Vec::new(),
    };
    let variables = ["REPO_FAR", "REMOTE_CHUNKED", "REMOTE_DVC", "REMOTE_GONE"];
    let variables = variables.iter().flat_map(|place| {
        let start = format!("BACKLOT_{place}");
        [
            (format!("{start}_USERNAME"), "ana".to_owned()),
            (format!("{start}_PASSWORD"), VARIABLE.to_owned()),
        ]
    });
    day.env = variables.collect();
    day.work("variable", &url, &[]);
    day.env.clear();

    studio.write(
        "helper",
        format!("#!/bin/sh\necho about {HELPER} >&2\necho username=ana\necho password={HELPER}\n").as_bytes(),
    );
    fs::set_permissions(studio.path("helper"), std::fs::Permissions::from_mode(0o700)).expect("set");
    let config = format!("[auth]\nhelper = \"{}\"\n", studio.path("helper").display());
    studio.write("home/.config/backlot/config.toml", config.as_bytes());
    day.work("helper", &url, &[]);
    fs::remove_file(studio.path("home/.config/backlot/config.toml")).expect("removed");

    studio.write("given", FILE.as_bytes());
    let mut login = studio.command(&["auth", "login", &url, "--user", "ana", "--password-stdin", "-v"]);
    let run =
        run_command(login.stdin(fs::File::open(studio.path("given")).expect("open").into_parts().0)).ok();
    day.said
        .push(("auth login".to_owned(), run.stdout() + &run.stderr()));
    fs::remove_file(studio.path("given")).expect("removed");
    day.work("file", &url, &[]);
    day.run("file-here", &["auth", "logout", &url]).ok();

    studio.write(
        "home/.netrc",
        format!("machine 127.0.0.1 login ana password {NETRC}\n").as_bytes(),
    );
    day.work("netrc", &url, &[]);
    nothing_leaked(&day, "ana");
    // Each of them was what let us in.
    let log = door.log().join("\n");
    for secret in PLANTED {
        assert!(
            log.contains(&format!("ana:{secret} in")),
            "{secret} was never used"
        );
    }
}

#[test]
fn the_secret_key_of_a_bucket_is_in_no_output_and_in_no_file_that_is_made() {
    let store = Store::s3();
    let studio = &store.studio;
    let endpoint = store.endpoint.clone().expect("a server");
    let endpoint = ["--endpoint", endpoint.as_str(), "--region", "us-east-1"];
    let mut day = Day {
        studio,
        env: Vec::new(),
        said: Vec::new(),
    };
    let helper = format!("#!/bin/sh\necho username=a-key-id\necho password={HELPER}\n");
    studio.write("helper", helper.as_bytes());
    fs::set_permissions(studio.path("helper"), std::fs::Permissions::from_mode(0o700)).expect("set");
    let config = format!("[auth]\nhelper = \"{}\"\n", studio.path("helper").display());
    studio.write("home/.config/backlot/config.toml", config.as_bytes());
    day.work("helper", "s3://assets/team", &endpoint);
    let variables = ["REPO_FAR", "REMOTE_CHUNKED", "REMOTE_DVC", "REMOTE_GONE"];
    let variables = variables.iter().flat_map(|place| {
        let start = format!("BACKLOT_{place}");
        [
            (format!("{start}_USERNAME"), "a-key-id".to_owned()),
            (format!("{start}_PASSWORD"), VARIABLE.to_owned()),
        ]
    });
    day.env = variables.collect();
    day.work("variable", "s3://assets/team", &endpoint);
    nothing_leaked(&day, "a-key-id");
    let test = |workspace: &str, env: &[(String, String)]| {
        let mut command: Command = studio.command(&["-w", workspace, "auth", "test", "far", "--json"]);
        run_command(command.envs(env.iter().map(|(name, value)| (name, value))))
            .ok()
            .json()
    };
    assert_eq!(test("helper-here", &[])["source"], "helper");
    assert_eq!(test("variable-here", &day.env)["source"], "environment");
}
