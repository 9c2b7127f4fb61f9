//! `pylock.toml` (PEP 751) in all spellings: installed packages are compared with pip and uv.

use std::collections::BTreeMap;
use std::process::Command;

use backlot_tests::installers::site_packages;
use backlot_tests::wheels::{put, sha256};
use backlot_tests::{Studio, run_command, tool};
use fs_err as fs;
use sha2::Digest as _;

/// The packages that each installer put into an empty environment; `None` where it refuses.
type Installed = Option<BTreeMap<String, String>>;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// A folder with `table` 1.0 and 2.0, and `chair` 1.0.
fn studio() -> Studio {
    let studio = Studio::empty();
    for (name, version) in [("table", "1.0"), ("table", "2.0"), ("chair", "1.0")] {
        put(&studio, "drop", name, version, "");
    }
    studio
}

/// The packages in a folder, by their `.dist-info`.
fn packages_in(folder: &std::path::Path) -> BTreeMap<String, String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| {
        let name = entry.file_name().to_string_lossy().into_owned();
        let (name, version) = name.strip_suffix(".dist-info")?.rsplit_once('-')?;
        Some((name.to_owned(), version.to_owned()))
    });
    names.collect()
}

fn by_us(studio: &Studio, number: usize, lock: &str) -> Installed {
    let name = format!("ws{number}");
    studio.run(&["init", &name]).ok();
    studio.run(&["-w", &name, "repo", "add", "drop", "drop"]).ok();
    let run = studio.run(&["-w", &name, "install", "--from-lock", lock, "--json"]);
    if run.output.status.success() {
        return Some(packages_in(&site_packages(studio, &name)));
    }
    // A refusal has a code.
    assert!(run.json()["error"]["code"].is_string(), "{}", run.stdout());
    None
}

fn by(who: &str, studio: &Studio, number: usize, lock: &str) -> Installed {
    let target = studio.path(&format!("{who}{number}"));
    let mut command = if who == "uv" {
        let mut uv = Command::new(tool("uv"));
        uv.args(["pip", "install", "--no-cache", "--offline", "--python"])
            .arg(tool("python"));
        uv
    } else {
        let mut pip = Command::new(tool("python"));
        pip.args(["-m", "pip", "install", "--no-cache-dir", "--no-index"]);
        pip
    };
    command
        .arg("--target")
        .arg(&target)
        .arg("-r")
        .arg(studio.path(lock))
        .current_dir(studio.root());
    let run = run_command(&mut command);
    run.output.status.success().then(|| packages_in(&target))
}

/// How a case is judged.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Judge {
    /// As pip and uv.
    Both,
    /// As uv; pip is behind or stricter.
    Uv,
    /// Refused here, whatever they do: for a reason that is ours.
    Refused,
}

#[test]
#[expect(clippy::too_many_lines, reason = "one row a case")]
fn locks_mean_to_us_what_they_mean_to_pip_and_uv() {
    use Judge::{Both, Refused, Uv};
    let studio = studio();
    let file = |name: &str, version: &str| format!("{name}-{version}-py3-none-any.whl");
    let bytes =
        |name: &str, version: &str| fs::read(studio.path("drop").join(file(name, version))).expect("a wheel");
    let hashed = |name: &str, version: &str, hashes: &str| {
        format!(
            "[[packages]]\nname = \"{name}\"\nversion = \"{version}\"\nwheels = [{{ name = \"{0}\", path = \"drop/{0}\", hashes = {{ {hashes} }} }}]\n",
            file(name, version)
        )
    };
    let entry = |name: &str, version: &str, more: &str| {
        let hashes = format!("sha256 = \"{}\"", sha256(&bytes(name, version)));
        hashed(name, version, &hashes).replace("wheels = ", &format!("{more}wheels = "))
    };
    let head = "lock-version = \"1.0\"\ncreated-by = \"test\"\n";
    let locked = |body: &str| format!("{head}{body}");
    let table = bytes("table", "1.0");
    let (sha512, sha384) = (
        hex(&sha2::Sha512::digest(&table)),
        hex(&sha2::Sha384::digest(&table)),
    );
    let wrong = "0".repeat(64);
    let cases: Vec<(&str, String, Judge)> = vec![
        ("one package", locked(&entry("table", "1.0", "")), Both),
        (
            "two",
            locked(&(entry("table", "2.0", "") + &entry("chair", "1.0", ""))),
            Both,
        ),
        ("no packages", locked("packages = []\n"), Both),
        (
            "a marker that holds",
            locked(&entry("table", "1.0", "marker = \"python_version >= '3'\"\n")),
            Both,
        ),
        (
            "a marker that does not",
            locked(
                &(entry("table", "1.0", "marker = \"sys_platform == 'amiga'\"\n")
                    + &entry("chair", "1.0", "")),
            ),
            Both,
        ),
        (
            "one of two by markers",
            locked(
                &(entry("table", "1.0", "marker = \"python_version < '3'\"\n")
                    + &entry("table", "2.0", "marker = \"python_version >= '3'\"\n")),
            ),
            Both,
        ),
        (
            "two active entries",
            locked(&(entry("table", "1.0", "") + &entry("table", "2.0", ""))),
            Both,
        ),
        (
            "a name in capitals",
            locked(&entry("table", "1.0", "").replace("name = \"table\"", "name = \"Table\"")),
            Uv,
        ),
        (
            "requires-python that fits",
            locked(&format!(
                "requires-python = \">=3.8\"\n{}",
                entry("table", "1.0", "")
            )),
            Both,
        ),
        (
            "requires-python that does not",
            locked(&format!(
                "requires-python = \">=3.99\"\n{}",
                entry("table", "1.0", "")
            )),
            Both,
        ),
        (
            "of a package",
            locked(&entry("table", "1.0", "requires-python = \">=3.99\"\n")),
            Both,
        ),
        (
            "an environment that fits",
            locked(&format!(
                "environments = [\"python_version >= '3'\"]\n{}",
                entry("table", "1.0", "")
            )),
            Both,
        ),
        (
            "one that does not",
            locked(&format!(
                "environments = [\"sys_platform == 'amiga'\"]\n{}",
                entry("table", "1.0", "")
            )),
            Both,
        ),
        (
            "lock-version 1.1",
            locked(&entry("table", "1.0", "")).replace("\"1.0\"\ncreated", "\"1.1\"\ncreated"),
            Both,
        ),
        (
            "lock-version 2.0",
            locked(&entry("table", "1.0", "")).replace("\"1.0\"\ncreated", "\"2.0\"\ncreated"),
            Both,
        ),
        (
            "no lock-version",
            locked(&entry("table", "1.0", "")).replace("lock-version = \"1.0\"\n", ""),
            Both,
        ),
        (
            "a group that is not default",
            locked(&format!(
                "dependency-groups = [\"dev\"]\n{}{}",
                entry("table", "1.0", "marker = \"'dev' in dependency_groups\"\n"),
                entry("chair", "1.0", "")
            )),
            Both,
        ),
        (
            "a default group",
            locked(&format!(
                "dependency-groups = [\"dev\"]\ndefault-groups = [\"dev\"]\n{}",
                entry("table", "1.0", "marker = \"'dev' in dependency_groups\"\n")
            )),
            Both,
        ),
        (
            "an extra",
            locked(&format!(
                "extras = [\"x\"]\n{}{}",
                entry("table", "1.0", "marker = \"'x' in extras\"\n"),
                entry("chair", "1.0", "")
            )),
            Both,
        ),
        (
            "a wrong SHA-256",
            locked(&hashed("table", "1.0", &format!("sha256 = \"{wrong}\""))),
            Both,
        ),
        (
            "SHA-512",
            locked(&hashed("table", "1.0", &format!("sha512 = \"{sha512}\""))),
            Both,
        ),
        (
            "SHA-384",
            locked(&hashed("table", "1.0", &format!("sha384 = \"{sha384}\""))),
            Both,
        ),
        (
            "a wrong SHA-512",
            locked(&hashed("table", "1.0", &format!("sha512 = \"{wrong}{wrong}\""))),
            Both,
        ),
        (
            "a right SHA-256 and a wrong SHA-512",
            locked(&hashed(
                "table",
                "1.0",
                &format!("sha256 = \"{}\", sha512 = \"{wrong}{wrong}\"", sha256(&table)),
            )),
            Refused,
        ),
        (
            "a right SHA-512 and a wrong SHA-384",
            locked(&hashed(
                "table",
                "1.0",
                &format!("sha512 = \"{sha512}\", sha384 = \"{}\"", "0".repeat(96)),
            )),
            Refused,
        ),
        ("no digest", locked(&hashed("table", "1.0", "")), Refused),
        (
            "an unknown key",
            locked(&entry("table", "1.0", "colour = \"red\"\n")),
            Both,
        ),
        (
            "a tool table",
            locked(&format!("{}[tool.other]\nx = 1\n", entry("table", "1.0", ""))),
            Both,
        ),
        (
            "no files",
            locked("[[packages]]\nname = \"table\"\nversion = \"1.0\"\n"),
            Both,
        ),
        ("not TOML", "lock-version = ".to_owned(), Both),
        (
            "version control",
            locked(
                "[[packages]]\nname = \"table\"\nvcs = { type = \"git\", url = \"file:///nowhere\", commit-id = \"0000000000000000000000000000000000000000\" }\n",
            ),
            Both,
        ),
        (
            "a bad marker",
            locked(&entry("table", "1.0", "marker = \"python_version >\"\n")),
            Both,
        ),
    ];
    assert!(cases.len() >= 20);
    let mut others = Vec::new();
    for (number, (what, text, judge)) in cases.iter().enumerate() {
        let lock = format!("pylock.c{number}.toml");
        studio.write(&lock, text.as_bytes());
        let ours = by_us(&studio, number, &lock);
        let (pip, uv) = (
            by("pip", &studio, number, &lock),
            by("uv", &studio, number, &lock),
        );
        let right = match judge {
            Both => ours == pip && ours == uv,
            Uv => ours == uv,
            Refused => ours.is_none(),
        };
        if !right {
            others.push(format!("{what}: ours {ours:?}, pip's {pip:?}, uv's {uv:?}"));
        }
    }
    assert!(others.is_empty(), "{}", others.join("\n"));
    // The studio's folders are of many workspaces, of which only those that were installed are looked at.
    studio.leaves_harm();
}
