//! The scenarios of `backlot-resolve` with the real uv: the same versions, or a documented reason for the difference.
//!
//! `crates/backlot-resolve/tests/scenarios.rs` tests Backlot with the same files. Each case becomes
//! a folder of tiny wheels with a page for each package, which `uv pip compile` reads by a `file://` URL.

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use backlot_tests::{repository, tool};
use fs_err as fs;
use toml::{Table, Value};
use zip::write::SimpleFileOptions;

/// How many uv run at once.
const AT_ONCE: usize = 3;

fn texts(case: &Table, key: &str) -> Vec<String> {
    let all = case.get(key).and_then(Value::as_array);
    let texts = all.into_iter().flatten().filter_map(Value::as_str);
    texts.map(ToOwned::to_owned).collect()
}

fn text<'c>(case: &'c Table, key: &str) -> Option<&'c str> {
    case.get(key).and_then(Value::as_str)
}

/// PEP 503.
fn normalised(name: &str) -> String {
    let mut normalised = String::new();
    for c in name.chars().map(|c| {
        if matches!(c, '_' | '.') {
            '-'
        } else {
            c.to_ascii_lowercase()
        }
    }) {
        if c != '-' || !normalised.ends_with('-') {
            normalised.push(c);
        }
    }
    normalised
}

/// An archive of stored files.
fn archive(files: &[(String, String)]) -> Vec<u8> {
    let mut archive = zip::ZipWriter::new(io::Cursor::new(Vec::new()));
    let stored = SimpleFileOptions::default()
        .compression_method(zip::CompressionMethod::Stored)
        .last_modified_time(zip::DateTime::default());
    for (name, content) in files {
        archive.start_file(name, stored).expect("begun");
        archive.write_all(content.as_bytes()).expect("written");
    }
    archive.finish().expect("finished").into_inner()
}

/// Write a release and return its line on the page.
fn publish(folder: &Path, name: &str, version: &str, release: &Value) -> String {
    let full = release.as_table();
    let requires = match full {
        Some(full) => texts(full, "requires"),
        None => release
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .map(Into::into)
            .collect(),
    };
    let get = |key: &str| full.and_then(|full| text(full, key));
    let mut metadata = format!("Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n");
    if full.is_some_and(|full| full.get("broken").is_some()) {
        "Metadata-Version: 2.1\nName: of another\n".clone_into(&mut metadata);
    }
    if let Some(python) = get("python") {
        metadata.push_str(&format!("Requires-Python: {python}\n"));
    }
    for requirement in &requires {
        metadata.push_str(&format!("Requires-Dist: {requirement}\n"));
        for extra in requirement.split("extra == '").skip(1) {
            let extra = extra.split('\'').next().unwrap_or_default();
            metadata.push_str(&format!("Provides-Extra: {extra}\n"));
        }
    }
    let stem = format!("{}-{version}", name.replace('-', "_"));
    let file = format!("{stem}-py3-none-any.whl");
    let wheel = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n";
    let files = [("METADATA", metadata.as_str()), ("WHEEL", wheel), ("RECORD", "")];
    let files = files.map(|(name, content)| (format!("{stem}.dist-info/{name}"), content.to_owned()));
    fs::write(folder.join(&file), archive(&files)).expect("written");
    let escaped = |text: &str| text.replace('<', "&lt;").replace('>', "&gt;");
    let yanked = get("yanked")
        .map(|why| format!(" data-yanked=\"{why}\""))
        .unwrap_or_default();
    let python = get("python")
        .map(|p| format!(" data-requires-python=\"{}\"", escaped(p)))
        .unwrap_or_default();
    let href = file.replace('+', "%2B").replace('!', "%21");
    format!("<a href=\"{href}\"{yanked}{python}>{file}</a><br>\n")
}

/// What uv chooses, or what it says.
fn ask_uv(case: &Table, folder: &Path, cache: &Path) -> Result<Vec<String>, String> {
    let mut pages: BTreeMap<String, String> = BTreeMap::new();
    for (key, release) in case["releases"].as_table().expect("a table") {
        let (name, version) = key.split_once(' ').expect("a name and a version");
        let package = folder.join("simple").join(normalised(name));
        fs::create_dir_all(&package).expect("made");
        let line = publish(&package, &normalised(name), version, release);
        pages.entry(normalised(name)).or_default().push_str(&line);
    }
    for (name, page) in pages {
        fs::write(folder.join("simple").join(name).join("index.html"), page).expect("written");
    }
    let mut command = Command::new(tool("uv"));
    command.args([
        "pip",
        "compile",
        "-",
        "--no-header",
        "--no-annotate",
        "--quiet",
        "--no-config",
    ]);
    command.args(["--python-version", text(case, "python").unwrap_or("3.11")]);
    command.arg("--python").arg(tool("python"));
    command.arg("--cache-dir").arg(cache);
    command
        .arg("--index-url")
        .arg(format!("file://{}/simple", folder.display()));
    let mut option = |name: &str, value: Option<&str>| {
        if let Some(value) = value {
            command.args([name, value]);
        }
    };
    option("--resolution", text(case, "resolution"));
    option("--prerelease", text(case, "prereleases"));
    option("--exclude-newer", text(case, "exclude-newer"));
    for (flag, key) in [("--constraints", "constraints"), ("--overrides", "overrides")] {
        let lines = texts(case, key);
        if !lines.is_empty() {
            let file = folder.join(key);
            fs::write(&file, lines.join("\n")).expect("written");
            option(flag, file.to_str());
        }
    }
    let mut child = command
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("uv starts");
    let wants = texts(case, "wants").join("\n");
    child
        .stdin
        .take()
        .expect("a pipe")
        .write_all(wants.as_bytes())
        .expect("written");
    let output = child.wait_with_output().expect("uv ends");
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    let lines = String::from_utf8_lossy(&output.stdout).into_owned();
    let lines = lines.lines().filter_map(|line| line.split_once("=="));
    let chosen = lines.map(|(name, version)| format!("{} {version}", name.split('[').next().unwrap_or(name)));
    Ok(chosen.collect())
}

/// Whether uv's answer is what the case says; else what is wrong.
fn judge(case: &Table, folder: &Path, cache: &Path) -> Result<(), String> {
    let answer = ask_uv(case, folder, cache);
    let other = text(case, "uv").is_some();
    let key = if other { "uv-gives" } else { "gives" };
    let expected = case.contains_key(key).then(|| texts(case, key));
    match (&answer, expected) {
        (Ok(chosen), Some(expected)) if *chosen == expected => Ok(()),
        (Err(said), None) if said.contains("No solution found") => Ok(()),
        _ => Err(format!("{}: uv: {answer:?}", case["name"])),
    }
}

#[test]
fn uv_chooses_the_same_or_the_case_says_why_not() {
    let scenarios = repository().join("crates/backlot-resolve/tests/scenarios");
    let mut cases = Vec::new();
    for entry in fs::read_dir(scenarios).expect("the scenarios") {
        let text = fs::read_to_string(entry.expect("a file").path()).expect("read");
        let mut file: Table = text.parse().expect("TOML");
        let all = file.remove("case").expect("cases");
        cases.extend(all.try_into::<Vec<Table>>().expect("tables"));
    }
    assert!(cases.len() >= 80, "{}", cases.len());
    let folder = tempfile::tempdir().expect("a folder");
    let next = AtomicUsize::new(0);
    let wrong = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let place = tempfile::tempdir_in(folder.path()).expect("a folder");
                    if let Err(text) = judge(case, place.path(), &folder.path().join("cache")) {
                        wrong.lock().unwrap_or_else(PoisonError::into_inner).push(text);
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap_or_else(PoisonError::into_inner);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
