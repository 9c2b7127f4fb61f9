//! From files to stages: variables, groups, errors with their lines.

use backlot_core::{Diagnostic as _, RelPath};

use super::Memory;
use crate::pipeline::{ArgumentStyle, Folder, OutputKind, PipelineError, Pipelines, Place, Stage, Value};

fn load(files: &[(&str, &str)]) -> Vec<Stage> {
    Memory::new(files).load().expect("loaded").stages
}

fn refused(files: &[(&str, &str)]) -> PipelineError {
    Memory::new(files).load().expect_err("refused")
}

fn names(stages: &[Stage]) -> Vec<&str> {
    stages.iter().map(|stage| stage.name.as_str()).collect()
}

fn commands(stages: &[Stage]) -> Vec<String> {
    stages
        .iter()
        .map(|stage| stage.command_lines().join("|"))
        .collect()
}

#[test]
fn items_are_named_as_in_dvc() {
    let file = "stages:\n  a: {foreach: [1, 1, '1', true, ~, 0.10], do: {cmd: 'x ${item}'}}\n  \
                b: {foreach: [x, {k: 1}], do: {cmd: 'y'}}\n  c: {foreach: [], do: {cmd: z}}\n  \
                d: {foreach: {k: {v: 1}, 2: w}, do: {cmd: 'd ${key}'}}\n  e: {matrix: {}, cmd: e}\n  \
                f: {foreach: ['e@f', 'g/h'], do: {cmd: f}}\n";
    let stages = load(&[("dvc.yaml", file)]);
    assert_eq!(
        names(&stages),
        [
            "a@1", "a@true", "a@None", "a@0.1", "b@0", "b@1", "d@k", "d@2", "f@e@f", "f@g/h"
        ]
    );
    assert_eq!(commands(&stages)[..4], ["x 1", "x true", "x None", "x 0.1"]);
    assert_eq!(commands(&stages)[6..8], ["d k", "d 2"]);
}

#[test]
fn flags_out_of_expressions_are_named_as_python_writes_them() {
    let file = "vars: [{l: [true, 1], t: false}]\nstages:\n  a: {foreach: '${l}', do: {cmd: 'x ${item}'}}\n  \
                b: {foreach: [true, '${t}'], do: {cmd: 'x'}}\n  c: {matrix: {p: '${l}', q: [true, '${t}']}, cmd: x}\n";
    let stages = load(&[("dvc.yaml", file)]);
    assert_eq!(
        names(&stages),
        [
            "a@True",
            "a@1",
            "b@true",
            "b@False",
            "c@True-true",
            "c@True-False",
            "c@1-true",
            "c@1-False"
        ]
    );
    assert_eq!(commands(&stages)[0], "x true");
}

#[test]
fn combinations_are_named_by_their_values() {
    let file = "vars: [{cams: {main: 1, wit: 2}}]\nstages:\n  m:\n    matrix: {c: '${cams}', q: [[1], 2]}\n    cmd: ${item.c} ${key}\n";
    let stages = load(&[("dvc.yaml", file)]);
    assert_eq!(names(&stages), ["m@main-q0", "m@main-2", "m@wit-q0", "m@wit-2"]);
    assert_eq!(commands(&stages)[0], "main main-q0");
    let error = refused(&[(
        "dvc.yaml",
        "stages:\n  m:\n    matrix: {a: '${n}'}\n    cmd: x\nvars: [{n: 1}]\n",
    )]);
    assert_eq!(
        error.to_string(),
        "`dvc.yaml`, line 3: `stages.m.matrix.a` is a number, not a list or a mapping"
    );
    let lists: String = "abcdefgh"
        .chars()
        .map(|c| format!("{c}: [1,2,3,4,5,6,7,8,9,0], "))
        .collect();
    let error = refused(&[(
        "dvc.yaml",
        &format!("stages:\n  m:\n    matrix: {{{lists}}}\n    cmd: x\n"),
    )]);
    assert!(error.to_string().contains("more than 100000 stages"), "{error}");
}

#[test]
fn variables_come_from_params_then_vars_then_the_stage() {
    let stages = load(&[
        ("s/params.yaml", "a: {x: 1}\nn: 5\n"),
        ("s/v.toml", "f = 1.0\n"),
        ("s/w/p.json", "{\"p\": 1, \"q\": 2}"),
        ("params.yaml", "a: root\n"),
        (
            "s/dvc.yaml",
            "vars: [v.toml, params.yaml, {a: {y: 2}, folder: w}]\nstages:\n  one:\n    wdir: ${folder}\n    vars: ['p.json:p']\n    cmd: ${a.x} ${a.y} ${n} ${f} ${p}\n    deps: [../in, ./d/, x]\n    outs: ['o${p}']\n  two:\n    cmd: ${a.x}\n",
        ),
    ]);
    assert_eq!(commands(&stages), ["1 2 5 1.0 1", "1"]);
    let places: Vec<String> = stages[0].deps.iter().map(|dep| dep.place.to_string()).collect();
    assert_eq!(places, ["s/in", "s/w/d", "s/w/x"]);
    assert_eq!(stages[0].deps[1].path, "./d/");
    assert_eq!(stages[0].outs[0].place.as_str(), "s/w/o1");
    assert_eq!(stages[0].address(), "s/dvc.yaml:one");
    assert_eq!(
        stages[1].folder,
        Place::Inside(RelPath::parse("s").expect("safe"))
    );
}

#[test]
fn a_name_that_is_defined_twice_is_refused() {
    let stage = "stages: {a: {cmd: x}}\n";
    for (vars, extra, part) in [
        (
            "vars: [{a: 1}]\n",
            "",
            "`vars[0]` defines `a`, which is already defined",
        ),
        ("vars: [{d: {k: 1}}]\n", "", "`vars[0]` defines `d.k`"),
        ("vars: [{x: '${a}'}]\n", "", "expressions are not allowed"),
        ("vars: [nope.yaml]\n", "", "`nope.yaml`, which does not exist"),
        ("vars: ['params.yaml:a']\n", "", "loads a part of `params.yaml`"),
        (
            "vars: ['v.yaml:x', v.yaml]\n",
            "",
            "which is already partly loaded",
        ),
        (
            "vars: ['v.yaml:z']\n",
            "",
            "the key `z`, which `v.yaml` does not have",
        ),
        ("vars: [l.yaml]\n", "", "`l.yaml`, which contains a list"),
        (
            "",
            "  g: {foreach: [1], do: {cmd: x, vars: [{item: 2}]}}\n",
            "defines `item`, which a generated stage already has",
        ),
    ] {
        let file = if extra.is_empty() {
            format!("{vars}{stage}")
        } else {
            format!("stages:\n{extra}")
        };
        let error = refused(&[
            ("params.yaml", "a: 1\nd: {k: 1}\n"),
            ("v.yaml", "x: 1\ny: 2\n"),
            ("l.yaml", "[1]\n"),
            ("dvc.yaml", &file),
        ]);
        assert_eq!(error.code(), "pipeline::vars", "{error}");
        assert!(error.to_string().contains(part), "{error}");
    }
}

#[test]
fn errors_have_file_line_key_and_a_way_out() {
    for (text, code, message, help) in [
        (
            "stages:\n  a:\n    cmd: x\n  b:\n    cmd: y ${frames}\n",
            "pipeline::unknown_variable",
            "`dvc.yaml`, line 5: `stages.b.cmd` uses `${frames}`, which is not defined",
            "did you mean `${frame}`?",
        ),
        (
            "stages:\n  a:\n    cmd: x\n    outs: ['${}']\n",
            "pipeline::template",
            "`dvc.yaml`, line 4: `stages.a.outs` has the expression `${}`, which is empty",
            "`\\${`",
        ),
        (
            "stages:\n  a:\n    cmd: x\n    outs: ['${frame}', ../o]\n",
            "pipeline::hostile_output",
            "`dvc.yaml`, line 4: the output `../o` of `a` is outside the project",
            "inside the project",
        ),
        (
            "stages:\n  a:\n    cmd: x\n    outs: [.git/hooks]\n",
            "pipeline::hostile_output",
            "is in a folder of a version control system or of DVC",
            "inside the project",
        ),
        (
            "stages:\n  a:\n    cmd: x\n    wdir: sub\n    outs: ['..']\n",
            "pipeline::hostile_output",
            "is the folder of the project itself",
            "inside the project",
        ),
        (
            "stages:\n  a:\n    cmd: x\n    deps: ['a\\b']\n",
            "pipeline::path",
            "`stages.a.deps` has the path `a\\\\b`, which contains a backslash",
            "with `/`",
        ),
        (
            "stages:\n  a:\n    cmd: x\n    params: [{f.yaml: k}]\n",
            "pipeline::schema",
            "line 4: `stages.a.params` has a text instead of the keys of `f.yaml`",
            "documented",
        ),
        (
            "stages:\n  a:\n    cmd: x\n    cmd: y\n",
            "pipeline::syntax",
            "`dvc.yaml`, line 4: duplicate key `cmd`",
            "correct the line",
        ),
        (
            "stages:\n  a:\n    foreach: ${frame}\n    do: {cmd: x}\n",
            "pipeline::template",
            "`stages.a.foreach` is a number, not a list or a mapping",
            "expression",
        ),
    ] {
        let error = refused(&[("params.yaml", "frame: 1\n"), ("dvc.yaml", text)]);
        assert_eq!(error.code(), code, "{error}");
        assert!(error.to_string().contains(message), "{error}");
        let shown = error.help().expect("a way out");
        assert!(shown.contains(help), "{shown}");
    }
}

#[test]
fn outputs_and_parameters_are_put_together_as_in_dvc() {
    let stages = load(&[(
        "dvc.yaml",
        "stages:\n  a:\n    cmd: |\n      one\n\n      two\n    params: [a, {f.json: [k]}, b, {g.yaml: }, {f.json: [l]}, {g.yaml: [x]}]\n    outs: [o, {p: {cache: false, persist: true, push: false, remote: r}}, {o: {desc: d}}]\n    metrics: [{m.json: {cache: false}}]\n    plots: [{q.csv: {x: t}}]\n    desc: text\n    meta: {k: [1]}\n    frozen: true\n    always_changed: true\n",
    )]);
    let stage = &stages[0];
    assert_eq!(stage.command_lines(), ["one", "two"]);
    let params: Vec<(&str, String)> = stage
        .params
        .iter()
        .map(|dep| (dep.path.as_str(), dep.keys.join(",")))
        .collect();
    assert_eq!(
        params,
        [
            ("params.yaml", "a,b".to_owned()),
            ("f.json", "k,l".to_owned()),
            ("g.yaml", String::new())
        ]
    );
    let outs: Vec<_> = stage
        .outs
        .iter()
        .map(|out| (out.path.as_str(), out.kind, out.cache, out.persist, out.push))
        .collect();
    assert_eq!(
        outs,
        [
            ("o", OutputKind::Data, true, false, true),
            ("p", OutputKind::Data, false, true, false),
            ("m.json", OutputKind::Metric, false, false, true),
            ("q.csv", OutputKind::Plot, true, false, true),
        ]
    );
    assert_eq!(stage.outs[0].flags.get("desc"), Some(&"d".into()));
    assert_eq!(stage.outs[1].remote.as_deref(), Some("r"));
    assert!(stage.frozen && stage.always_changed && stage.desc.as_deref() == Some("text"));
    assert!(stage.meta.as_ref().and_then(Value::as_map).is_some());
}

#[test]
fn what_belongs_to_no_stage_is_kept() {
    let memory = Memory::new(&[
        ("params.yaml", "m: metrics.json\n"),
        (
            "dvc.yaml",
            "params: [x.yaml]\nmetrics: ['${m}']\nplots: [a.csv, {t: {x: a}}]\nartifacts: {model: {path: '${m}'}}\n",
        ),
    ]);
    let pipelines = memory.load().expect("loaded");
    let file = &pipelines.files[0];
    assert_eq!(file.metrics, ["metrics.json".into()]);
    assert_eq!((file.params.len(), file.plots.len()), (1, 2));
    let artifact = file.artifacts.get("model").and_then(Value::as_map);
    assert_eq!(
        artifact.and_then(|map| map.get("path")),
        Some(&"metrics.json".into())
    );
}

#[test]
fn merged_and_aliased_stages_work() {
    let file = "stages:\n  a: &a\n    cmd: x\n    deps: &d [i]\n  b:\n    <<: *a\n    cmd: y\n    outs: [o]\n  c:\n    cmd: z\n    deps: *d\n";
    let stages = load(&[("dvc.yaml", file)]);
    assert_eq!(commands(&stages), ["x", "y", "z"]);
    assert!(stages.iter().all(|stage| stage.deps[0].path == "i"));
}

#[test]
fn absolute_paths_into_the_project_are_paths_of_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path().to_str().expect("UTF-8");
    let text = format!(
        "stages:\n  a: {{cmd: x, wdir: sub, outs: ['{root}/o/p']}}\n  b: {{cmd: x, deps: ['{root}/o/p', '{root}-other', '{root}']}}\n"
    );
    fs_err::write(folder.path().join("dvc.yaml"), text).expect("written");
    let path = RelPath::parse("dvc.yaml").expect("safe");
    let files = Folder::new(folder.path());
    let stages = Pipelines::load(&files, &[path], ArgumentStyle::default())
        .expect("loaded")
        .stages;
    assert_eq!(
        (stages[0].outs[0].path.as_str(), stages[0].outs[0].place.as_str()),
        ("../o/p", "o/p")
    );
    let places: Vec<String> = stages[1].deps.iter().map(|dep| dep.place.to_string()).collect();
    assert_eq!(
        places,
        ["o/p".to_owned(), format!("{root}-other"), ".".to_owned()]
    );
    assert_eq!(stages[1].deps[0].path, "o/p");
}

#[test]
fn files_are_read_from_a_folder_and_bounded_to_files() {
    let folder = tempfile::tempdir().expect("a folder");
    fs_err::create_dir_all(folder.path().join("params.yaml")).expect("made");
    fs_err::write(folder.path().join("dvc.yaml"), "stages: {a: {cmd: x}}\n").expect("written");
    let files = Folder::new(folder.path());
    let load = |name: &str| {
        let path = RelPath::parse(name).expect("safe");
        Pipelines::load(&files, &[path], ArgumentStyle::default())
    };
    let error = load("dvc.yaml").expect_err("refused");
    assert_eq!(error.to_string(), "cannot read `params.yaml`: it is not a file");
    fs_err::remove_dir(folder.path().join("params.yaml")).expect("removed");
    assert_eq!(load("dvc.yaml").expect("loaded").stages.len(), 1);
    let error = load("sub/dvc.yaml").expect_err("refused");
    assert_eq!(error.to_string(), "cannot read `sub/dvc.yaml`: it does not exist");
    fs_err::write(folder.path().join("dvc.yaml"), [0xff]).expect("written");
    assert!(
        load("dvc.yaml")
            .expect_err("refused")
            .to_string()
            .contains("UTF-8")
    );
}

#[test]
fn what_expressions_make_has_a_bound() {
    let long = "x".repeat(1 << 20);
    let items: Vec<String> = (0..1_000).map(|item| item.to_string()).collect();
    let items = items.join(", ");
    let variables = format!("long: {long}\nitems: [{items}]\n");
    for (definition, key) in [
        // Each of many stages has the text.
        (
            "a: {foreach: '${items}', do: {cmd: x, desc: '${long}'}}".to_owned(),
            "desc",
        ),
        // One stage has it many times.
        (format!("a: {{cmd: '{}'}}", "${long} ".repeat(1_000)), "cmd"),
        // Many stages of which each is small.
        (
            (0..300)
                .map(|at| format!("a{at}: {{foreach: '${{items}}', do: {{cmd: x}}}}\n  "))
                .collect(),
            "stages.",
        ),
    ] {
        let file = format!("stages:\n  {definition}\n");
        let error = refused(&[("params.yaml", &variables), ("dvc.yaml", &file)]);
        let text = error.to_string();
        assert_eq!(error.code(), "pipeline::template", "{text}");
        assert!(text.contains("more than 128 MiB") && text.contains(key), "{text}");
    }
}
