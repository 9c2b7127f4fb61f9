//! One stage, or one group of stages, of a random pipeline: made, edited, written as YAML.

use super::Dice;

/// Something that a stage makes and others can read.
#[derive(Clone, Debug)]
pub(super) struct Made {
    /// Where, relative to the project.
    path: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Group {
    No,
    List,
    Map,
    Matrix,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Style {
    Plain,
    List,
    Block,
}

#[derive(Clone, Debug)]
struct Out {
    path: String,
    list: &'static str,
    flags: Vec<&'static str>,
}

/// A stage or a group of them.
#[derive(Clone, Debug)]
pub(super) struct Stage {
    name: String,
    /// The folder of its file.
    folder: &'static str,
    wdir: Option<&'static str>,
    group: Group,
    items: Vec<&'static str>,
    style: Style,
    commands: Vec<String>,
    deps: Vec<String>,
    params: Vec<String>,
    outs: Vec<Out>,
    frozen: bool,
    always: bool,
    note: usize,
    flow: bool,
}

const READABLE: [&str; 7] = ["in0", "in1", "in2", "src", "src/b", "src/b/c", "w/in"];
const PARAMS: [&str; 12] = [
    "lr",
    "n",
    "name",
    "l",
    "l.1",
    "m",
    "m.j",
    "m.k",
    "{p.json: [a, b.c]}",
    "{p.json: }",
    "{p.toml: [t.x, a]}",
    "{p.py: [A, C.v]}",
];

impl Stage {
    /// A stage that may read what others made. Its outputs have its number in their names.
    pub(super) fn random(dice: &mut Dice, number: usize, made: &[Made]) -> Self {
        let kind = dice.below(13);
        let is_group = (4..=6).contains(&kind);
        let (folder, wdir) = match dice.below(10) {
            0 | 1 if !is_group => ("", Some("w")),
            2 if !is_group => ("sub", None),
            _ => ("", None),
        };
        let mut stage = Self {
            name: format!("s{number}"),
            folder,
            wdir,
            group: Group::No,
            items: Vec::new(),
            style: *dice.pick(&[Style::Plain, Style::Plain, Style::List, Style::Block]),
            commands: Vec::new(),
            deps: Vec::new(),
            params: Vec::new(),
            outs: Vec::new(),
            frozen: false,
            always: dice.chance(4),
            note: 0,
            flow: dice.chance(60),
        };
        if kind != 9 {
            for _ in 0..=dice.below(2) {
                stage.add_dep(dice, made);
            }
        }
        if dice.chance(40) {
            for _ in 0..=dice.below(2) {
                stage.add_param(dice);
            }
        }
        match kind {
            4 => {
                stage.group = Group::List;
                stage.items = dice
                    .pick(&[
                        vec!["p", "q"],
                        vec!["p", "7"],
                        vec!["p", "\"${n}\""],
                        vec!["true", "1.0"],
                    ])
                    .clone();
            }
            5 => {
                stage.group = Group::Map;
                stage.items = dice
                    .pick(&[vec!["p", "q"], vec!["p"], vec!["q", "p", "r"]])
                    .clone();
            }
            6 => {
                stage.group = Group::Matrix;
                stage.items = dice.pick(&[vec!["p", "q"], vec!["p"]]).clone();
            }
            _ => {}
        }
        stage.make_something(dice, kind, number);
        stage
    }

    /// Commands and outputs.
    fn make_something(&mut self, dice: &mut Dice, kind: usize, number: usize) {
        let suffix = match self.group {
            Group::No => "",
            Group::List => ".${item}",
            Group::Map => ".${key}",
            Group::Matrix => ".${item.a}.${item.b}",
        };
        let out = format!("o{number}{suffix}");
        let mut read: Vec<String> = self
            .deps
            .iter()
            .map(|dep| format!("$(find {dep} -type f | sort)"))
            .collect();
        if read.is_empty() {
            read.push("/dev/null".to_owned());
        }
        let read = read.join(" ");
        let value = *dice.pick(&["${lr}", "${name}", "${m.k}", "${l[0]}", "k"]);
        let value = match (self.group, self.folder) {
            (Group::Map, _) => "${item.v}",
            // There is no `params.yaml` beside its file.
            (_, "sub") => "k",
            _ => value,
        };
        let mut commands = match kind {
            3 => vec![format!(
                "mkdir -p {out}/d && cat {read} > {out}/x && echo {value} > {out}/d/y"
            )],
            7 => vec![format!("cat {read} | wc -c > {out}")],
            8 => vec![format!("cat {read} >> {out}")],
            9 => vec![format!("echo {number} > {out}")],
            10 => vec![format!("cat {read} > {out}"), format!("echo {value} > {out}.b")],
            _ if dice.chance(40) => vec![format!("(echo {value}; cat {read}) > {out}")],
            _ => vec![format!("cat {read} > {out}"), format!("echo {value} >> {out}")],
        };
        // A file can make it fail: before anything is written, or in the middle.
        if dice.chance(30) {
            let check = format!("test ! -e $DVC_ROOT/fail.{number}");
            let at = dice.below(commands.len() + 1);
            commands.insert(at, check);
        }
        self.commands = commands;
        let plain = |path: String| Out {
            path,
            list: "outs",
            flags: Vec::new(),
        };
        let figures: &'static str = ["metrics", "plots"][dice.below(2)];
        self.outs = match kind {
            7 => vec![Out {
                path: out,
                list: figures,
                flags: dice.pick(&[vec![], vec!["cache: false"]]).clone(),
            }],
            8 => vec![Out {
                flags: vec!["persist: true"],
                ..plain(out)
            }],
            10 => vec![
                plain(out.clone()),
                Out {
                    flags: dice.pick(&[vec![], vec!["cache: false"]]).clone(),
                    ..plain(format!("{out}.b"))
                },
            ],
            11 => vec![Out {
                flags: vec!["cache: false"],
                ..plain(out)
            }],
            // Nothing is declared: it runs always if it reads nothing either.
            12 if dice.chance(50) => Vec::new(),
            _ => vec![plain(out)],
        };
    }

    /// The folder its commands run in.
    fn base(&self) -> &'static str {
        self.wdir.unwrap_or(self.folder)
    }

    /// A path of the project as this stage writes it.
    fn spelled(&self, path: &str) -> String {
        match self.base() {
            "" => path.to_owned(),
            base => path
                .strip_prefix(&format!("{base}/"))
                .map_or_else(|| format!("../{path}"), ToOwned::to_owned),
        }
    }

    fn add_dep(&mut self, dice: &mut Dice, made: &[Made]) {
        let path = if !made.is_empty() && dice.chance(60) {
            dice.pick(made).path.clone()
        } else {
            (*dice.pick(&READABLE)).to_owned()
        };
        let mut spelled = self.spelled(&path);
        if self.base().is_empty() && dice.chance(10) {
            spelled = format!("./{spelled}");
        }
        if !self.deps.contains(&spelled) {
            self.deps.push(spelled);
        }
    }

    fn add_param(&mut self, dice: &mut Dice) {
        let param = *dice.pick(&PARAMS);
        let spelled = match (self.base(), param.strip_prefix('{')) {
            ("", _) => param.to_owned(),
            (_, Some(file)) => format!("{{../{file}"),
            (_, None) => format!("{{../params.yaml: [{param}]}}"),
        };
        if !self.params.contains(&spelled) {
            self.params.push(spelled);
        }
    }

    pub(super) fn file_folder(&self) -> &'static str {
        self.folder
    }

    /// What `dvc repro` calls it.
    pub(super) fn target(&self) -> String {
        match self.folder {
            "" => self.name.clone(),
            folder => format!("{folder}/dvc.yaml:{}", self.name),
        }
    }

    /// What others can read of it.
    pub(super) fn makes(&self) -> Vec<Made> {
        let mut made = Vec::new();
        for out in &self.outs {
            let names = match self.group {
                Group::No => vec![out.path.clone()],
                Group::List => self.literal_items(|item| out.path.replace("${item}", item)),
                Group::Map => self.literal_items(|item| out.path.replace("${key}", item)),
                Group::Matrix => {
                    self.literal_items(|item| out.path.replace("${item.a}", item).replace("${item.b}", "1"))
                }
            };
            for name in names {
                let path = match self.base() {
                    "" => name,
                    base => format!("{base}/{name}"),
                };
                if self.commands.iter().any(|command| command.contains("mkdir -p")) {
                    made.push(Made {
                        path: format!("{path}/x"),
                    });
                }
                made.push(Made { path });
            }
        }
        made
    }

    fn literal_items(&self, name: impl Fn(&str) -> String) -> Vec<String> {
        let plain = |item: &&&str| item.chars().all(|c| c.is_ascii_lowercase());
        let named = self.items.iter().filter(plain).filter(|item| **item != "true");
        named.map(|item| name(item)).collect()
    }

    pub(super) fn thaw(&mut self) {
        self.frozen = false;
    }

    /// Change one thing. `made` is what stages before it make.
    pub(super) fn edit(&mut self, dice: &mut Dice, made: &[Made]) {
        match dice.below(12) {
            0 | 1 => {
                let at = dice.below(self.commands.len());
                let command = &mut self.commands[at];
                *command = if command.contains("  ") {
                    command.replace("  ", " ")
                } else {
                    command.replacen(' ', "  ", 1)
                };
            }
            2 => self.style = *dice.pick(&[Style::Plain, Style::List, Style::Block]),
            3 => self.note += 1,
            4 | 5 => self.add_dep(dice, made),
            6 if !self.deps.is_empty() => {
                let at = dice.below(self.deps.len());
                // The command reads it all the same, so it must not be something that another stage may be making.
                let name = self.deps[at].trim_start_matches("./").trim_start_matches("../");
                let is_input = READABLE.contains(&name) || name == "in";
                if is_input {
                    self.deps.remove(at);
                }
            }
            7 => self.frozen = !self.frozen,
            8 => self.always = !self.always,
            9 => self.add_param(dice),
            10 if !self.params.is_empty() => {
                let at = dice.below(self.params.len());
                self.params.remove(at);
            }
            _ => {
                let flags = dice
                    .pick(&[vec![], vec!["cache: false"], vec!["persist: true"]])
                    .clone();
                if let Some(out) = self.outs.first_mut() {
                    out.flags = flags;
                }
            }
        }
    }

    pub(super) fn to_yaml(&self) -> String {
        let mut lines = Vec::new();
        if self.note > 0 {
            lines.push(format!("# The {}th note.", self.note));
            lines.push(format!("desc: told {} times", self.note));
        }
        if let Some(wdir) = self.wdir {
            lines.push(format!("wdir: {wdir}"));
        }
        self.command_lines(&mut lines);
        self.list(
            "deps",
            &self.deps.iter().map(|dep| quoted(dep)).collect::<Vec<_>>(),
            &mut lines,
        );
        if !self.params.is_empty() {
            lines.push(format!("params: [{}]", self.params.join(", ")));
        }
        for list in ["outs", "metrics", "plots"] {
            let outs: Vec<&Out> = self.outs.iter().filter(|out| out.list == list).collect();
            if outs.is_empty() {
                continue;
            }
            lines.push(format!("{list}:"));
            for out in outs {
                let path = quoted(&out.path);
                if out.flags.is_empty() {
                    lines.push(format!("- {path}"));
                } else {
                    lines.push(format!("- {path}:"));
                    lines.extend(out.flags.iter().map(|flag| format!("    {flag}")));
                }
            }
        }
        for (key, is_set) in [("frozen", self.frozen), ("always_changed", self.always)] {
            if is_set {
                lines.push(format!("{key}: true"));
            }
        }
        self.in_group(&lines)
    }

    fn command_lines(&self, lines: &mut Vec<String>) {
        match self.style {
            Style::Plain => lines.push(format!("cmd: {}", self.commands.join(" && "))),
            Style::List => {
                lines.push("cmd:".to_owned());
                lines.extend(self.commands.iter().map(|command| format!("- {command}")));
            }
            Style::Block => {
                lines.push("cmd: |".to_owned());
                lines.extend(self.commands.iter().map(|command| format!("  {command}")));
            }
        }
    }

    fn list(&self, key: &str, items: &[String], lines: &mut Vec<String>) {
        if items.is_empty() {
            return;
        }
        if self.flow {
            lines.push(format!("{key}: [{}]", items.join(", ")));
        } else {
            lines.push(format!("{key}:"));
            lines.extend(items.iter().map(|item| format!("- {item}")));
        }
    }

    fn in_group(&self, lines: &[String]) -> String {
        let items = self.items.join(", ");
        let head = match self.group {
            Group::No => {
                let body: Vec<String> = lines.iter().map(|line| format!("    {line}\n")).collect();
                return format!("  {}:\n{}", self.name, body.concat());
            }
            Group::List => format!("    foreach: [{items}]\n    do:\n"),
            Group::Map => {
                let entries: Vec<String> = self
                    .items
                    .iter()
                    .enumerate()
                    .map(|(at, item)| format!("      {item}: {{v: {at}}}\n"))
                    .collect();
                format!("    foreach:\n{}    do:\n", entries.concat())
            }
            Group::Matrix => {
                let body: Vec<String> = lines.iter().map(|line| format!("    {line}\n")).collect();
                return format!(
                    "  {}:\n    matrix:\n      a: [{items}]\n      b: [1, x]\n{}",
                    self.name,
                    body.concat()
                );
            }
        };
        let body: Vec<String> = lines.iter().map(|line| format!("      {line}\n")).collect();
        format!("  {}:\n{head}{}", self.name, body.concat())
    }
}

/// A path as a scalar that is right in any place.
fn quoted(path: &str) -> String {
    if path.contains(['$', '{']) {
        format!("'{path}'")
    } else {
        path.to_owned()
    }
}
