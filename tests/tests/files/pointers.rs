//! DVC pointers in all spellings, read by Backlot and by DVC itself.

use std::process::Command;

use backlot_tests::{Studio, run_command, tool};
use serde_json::{Value, json};

const MD5: &str = "5d41402abc4b2a76b9719d911017c592";

/// Asks DVC for the outs of each pointer: path, content, and whether it is cached and pushed.
const READ: &str = r"
import json, posixpath, sys
from dvc.repo import Repo
from dvc.dvcfile import load_file
repo, answers = Repo('.'), []
for path in sys.argv[1:]:
    try:
        stage = load_file(repo, path).stage
        answers.append([[posixpath.normpath(out.def_path), out.hash_info.value, out.use_cache, out.can_push, out.remote] for out in stage.outs])
    except Exception as error:
        answers.append(None)
print(json.dumps(answers))
";

/// Pointers, each with what we make of it other than DVC; nothing where both are the same.
fn pointers() -> Vec<(String, Option<&'static str>)> {
    let plain = |out: &str| format!("outs:\n- {out}");
    let same = [
        plain(&format!("md5: {MD5}\n  size: 5\n  hash: md5\n  path: a.txt\n")),
        plain(&format!("path: a.txt\n  md5: {MD5}\n  hash: md5\n")),
        plain("path: a.txt\n"),
        plain(&format!(
            "md5: {MD5}.dir\n  size: 5\n  nfiles: 1\n  hash: md5\n  path: frames\n"
        )),
        plain(&format!(
            "md5: {MD5}\n  hash: md5\n  path: a.txt\n  cache: false\n"
        )),
        plain(&format!(
            "md5: {MD5}\n  hash: md5\n  path: a.txt\n  push: false\n"
        )),
        plain(&format!(
            "md5: {MD5}\n  hash: md5\n  path: a.txt\n  remote: far\n"
        )),
        plain(&format!(
            "md5: {MD5}\n  hash: md5\n  path: a.txt\n  desc: 'über alles: \"x\"'\n"
        )),
        plain(&format!(
            "md5: {MD5}\n  hash: md5\n  path: a.txt\n  type: image\n  labels: [hero, 'true']\n"
        )),
        plain(&format!(
            "md5: {MD5}\n  hash: md5\n  path: a.txt\n  meta: {{who: ana, when: 2024-01-01}}\n"
        )),
        plain(&format!("md5: \"{MD5}\"\n  hash: 'md5'\n  path: \"a b.txt\"\n")),
        plain(&format!("md5: {MD5}\n  hash: md5\n  path: sub/a.txt\n")),
        plain(&format!("md5: {MD5}\n  hash: md5\n  path: ünï.txt\n")),
        plain(&format!("md5: {MD5}\n  hash: md5\n  path: '0001'\n")),
        plain(&format!(
            "md5: {MD5}\n  hash: md5\n  path: a.txt\n  isexec: true\n"
        )),
        plain(&format!(
            "md5: {MD5}\n  hash: md5\n  path: a.txt\n  persist: true\n"
        )),
        format!("outs: [{{md5: {MD5}, hash: md5, path: a.txt}}]\n"),
        format!("# a comment\n\nouts:\n  - md5: {MD5}   # another\n    hash: md5\n    path: a.txt\n"),
        format!("\u{feff}outs:\n- md5: {MD5}\n  hash: md5\n  path: a.txt\n"),
        format!("outs:\r\n- md5: {MD5}\r\n  hash: md5\r\n  path: a.txt\r\n"),
        format!("---\nouts:\n- md5: {MD5}\n  hash: md5\n  path: a.txt\n"),
        format!("desc: all\nmeta: 1\nfrozen: true\nouts:\n- md5: {MD5}\n  hash: md5\n  path: a.txt\n"),
        format!("outs:\n- &one\n  md5: {MD5}\n  hash: md5\n  path: a.txt\n- <<: *one\n  path: b.txt\n"),
        format!("wdir: sub\nouts:\n- md5: {MD5}\n  hash: md5\n  path: a.txt\n"),
        format!("wdir: .\nouts:\n- md5: {MD5}\n  hash: md5\n  path: ./a.txt\n"),
        // What DVC refuses.
        String::new(),
        "outs: x\n".to_owned(),
        "outs:\n- 5\n".to_owned(),
        format!("outs:\n- md5: {MD5}\n"),
        format!("outs:\n- md5: {MD5}\n  path: a.txt\n  colour: red\n"),
        format!("outs:\n- md5: {MD5}\n  path: a.txt\n  cache: maybe\n"),
        format!("outs:\n- md5: {MD5}\n  path: a.txt\nunknown: 1\n"),
        "outs:\n\t- path: a.txt\n".to_owned(),
        "outs:\n- path: [a, b]\n".to_owned(),
        format!("outs:\n- md5: {MD5}\n  path: a.txt\n  path: b.txt\n"),
    ];
    let mut all: Vec<(String, Option<&'static str>)> = same.into_iter().map(|text| (text, None)).collect();
    // Refused here: the MD5 of DVC 2 is not that of the bytes; others would place files outside the folder of their pointer, or
    // nobody could verify them.
    for text in [
        plain(&format!("md5: {MD5}\n  size: 5\n  path: a.txt\n")),
        plain(&format!("md5: {MD5}\n  hash: md5\n  path: ../a.txt\n")),
        plain(&format!("md5: {MD5}\n  hash: md5\n  path: /tmp/a.txt\n")),
        format!("wdir: ..\nouts:\n- md5: {MD5}\n  hash: md5\n  path: a.txt\n"),
        plain("md5: not-a-digest\n  hash: md5\n  path: a.txt\n"),
    ] {
        all.push((text, Some("refused")));
    }
    all
}

/// What we read.
fn ours(text: &str) -> Value {
    let path = std::path::Path::new("a.txt.dvc");
    let Ok(pointer) = backlot_dvc::Pointer::parse(path, text) else {
        return Value::Null;
    };
    let out = |out: &backlot_dvc::Out| {
        json!([
            out.path.to_string(),
            out.id().map(|id| id.to_string()),
            out.cache,
            out.push,
            out.remote
        ])
    };
    pointer.outs.iter().map(out).collect()
}

#[test]
fn pointers_mean_to_us_what_they_mean_to_dvc() {
    let studio = Studio::new();
    let all = pointers();
    assert!(all.len() >= 20);
    let mut python = Command::new(tool("python"));
    python
        .args(["-c", READ])
        .current_dir(studio.path("ws"))
        .env("HOME", studio.path("home"))
        .env("DVC_NO_ANALYTICS", "1");
    for (number, (text, _)) in all.iter().enumerate() {
        let path = format!("c{number}/a.txt.dvc");
        studio.write(&format!("ws/{path}"), text.as_bytes());
        studio.write(&format!("ws/c{number}/sub/keep"), b"");
        python.arg(path);
    }
    let run = run_command(&mut python).ok();
    let answers = run.stdout();
    let theirs: Vec<Value> = serde_json::from_str(answers.trim()).expect("answers");
    let mut others = Vec::new();
    for ((text, known), theirs) in all.iter().zip(theirs) {
        let ours = ours(text);
        let right = match known {
            Some(_) => ours.is_null() && !theirs.is_null(),
            None => ours == theirs,
        };
        if !right {
            others.push(format!("{text}\nours: {ours}\nDVC's: {theirs}"));
        }
    }
    assert!(others.is_empty(), "{}", others.join("\n\n"));
}
