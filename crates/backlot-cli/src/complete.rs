//! Completions of a word being typed: commands, options, their values, and the names of assets, releases, repos and remotes that the workspace
//! knows. The scripts of `backlot completions` ask for it.
//!
//! Invariants: the answer is made of the same definitions as the help; where nothing is known there are no candidates, never an error. Deliberately absent:
//! files, which shells complete themselves.

use clap::{Arg, Command};

use backlot::KnownNames;

/// Names that are looked up when they are needed.
pub(crate) trait Names {
    /// Those of the workspace that is meant.
    fn all(&self, workspace: Option<&str>) -> KnownNames;
    /// The versions of an asset.
    fn versions(&self, workspace: Option<&str>, asset: &str) -> Vec<String>;
}

/// The kind of name of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Repo,
    Remote,
    /// An output or an installed package.
    Asset,
    /// A package of a repo, perhaps with `==` and a version.
    Release,
    Setting,
}

/// How far the words before the one that is typed lead.
struct Place<'c> {
    /// The command, and the one above it.
    command: &'c Command,
    above: Option<&'c str>,
    /// The option whose value is typed.
    option: Option<&'c Arg>,
    positionals: usize,
    only_positionals: bool,
    workspace: Option<String>,
}

/// The completions of the last word; the words are those after the name of the program.
pub(crate) fn candidates(command: &mut Command, words: &[String], names: &impl Names) -> Vec<String> {
    command.build();
    let Some((typed, before)) = words.split_last() else {
        return Vec::new();
    };
    let place = find(command, before);
    if place.option.is_none()
        && !place.only_positionals
        && let Some((option, value)) = typed.strip_prefix("--").and_then(|typed| typed.split_once('='))
    {
        let values = long(place.command, option).map(|arg| values(&place, arg, value, names));
        let whole = values.unwrap_or_default().into_iter();
        let whole = whole.filter(|candidate| candidate.starts_with(value));
        return whole.map(|value| format!("--{option}={value}")).collect();
    }
    let mut found = match place.option {
        Some(option) => values(&place, option, typed, names),
        None if typed.starts_with('-') && !place.only_positionals => options(place.command),
        None => arguments(&place, typed, names),
    };
    found.retain(|candidate| candidate.starts_with(typed.as_str()));
    found
}

/// Walk along the words.
fn find<'c>(command: &'c Command, before: &[String]) -> Place<'c> {
    let mut place = Place {
        command,
        above: None,
        option: None,
        positionals: 0,
        only_positionals: false,
        workspace: None,
    };
    for word in before {
        if let Some(option) = place.option.take() {
            if option.get_id() == "workspace" {
                place.workspace = Some(word.clone());
            }
            continue;
        }
        if place.only_positionals {
            place.positionals += 1;
        } else if word == "--" {
            place.only_positionals = true;
        } else if let Some(name) = word.strip_prefix("--") {
            match name.split_once('=') {
                Some(("workspace", folder)) => place.workspace = Some(folder.to_owned()),
                Some(_) => {}
                None => place.option = long(place.command, name).filter(|arg| takes_value(arg)),
            }
        } else if word.starts_with('-') && word.len() > 1 {
            let last = word.chars().last();
            let mut all = place.command.get_arguments();
            let named = all.find(|arg| arg.get_short().is_some() && arg.get_short() == last);
            place.option = named.filter(|arg| takes_value(arg));
        } else if let Some(below) = place
            .command
            .find_subcommand(word)
            .filter(|_| place.positionals == 0)
        {
            place.above = Some(place.command.get_name());
            place.command = below;
        } else {
            place.positionals += 1;
        }
    }
    place
}

fn long<'c>(command: &'c Command, name: &str) -> Option<&'c Arg> {
    command.get_arguments().find(|arg| arg.get_long() == Some(name))
}

fn takes_value(arg: &Arg) -> bool {
    arg.get_action().takes_values()
}

fn options(command: &Command) -> Vec<String> {
    let shown = command.get_arguments().filter(|arg| !arg.is_hide_set());
    shown
        .filter_map(|arg| Some(format!("--{}", arg.get_long()?)))
        .collect()
}

/// Commands below, or values of the argument that is next.
fn arguments(place: &Place<'_>, typed: &str, names: &impl Names) -> Vec<String> {
    let mut found = Vec::new();
    if place.positionals == 0 {
        let below = place
            .command
            .get_subcommands()
            .filter(|below| !below.is_hide_set());
        found.extend(below.map(|below| below.get_name().to_owned()));
    }
    let positionals: Vec<&Arg> = place.command.get_positionals().collect();
    // The last may be given more than once.
    let next = positionals.get(place.positionals).or(positionals.last());
    found.extend(next.into_iter().flat_map(|arg| values(place, arg, typed, names)));
    found
}

/// The values of an argument that are known.
fn values(place: &Place<'_>, arg: &Arg, typed: &str, names: &impl Names) -> Vec<String> {
    let possible = arg.get_possible_values();
    if !possible.is_empty() {
        let shown = possible.iter().filter(|value| !value.is_hide_set());
        return shown.map(|value| value.get_name().to_owned()).collect();
    }
    let workspace = place.workspace.as_deref();
    let known = || names.all(workspace);
    match kind(place, arg) {
        None => Vec::new(),
        Some(Kind::Repo) => known().repos,
        Some(Kind::Remote) => known().remotes,
        Some(Kind::Setting) => backlot::setting_names().map(ToOwned::to_owned).collect(),
        Some(Kind::Asset) => {
            let known = known();
            [known.outputs, known.inputs].concat()
        }
        Some(Kind::Release) => match typed.split_once("==") {
            Some((asset, _)) => {
                let versions = names.versions(workspace, asset).into_iter();
                versions.map(|version| format!("{asset}=={version}")).collect()
            }
            None => {
                let known = known();
                [known.outputs, known.packages].concat()
            }
        },
    }
}

/// The kind of name of an argument's value, by its name in the help.
fn kind(place: &Place<'_>, arg: &Arg) -> Option<Kind> {
    let id = arg.get_id().as_str();
    let told = arg.get_value_names().and_then(<[_]>::first);
    let told = told.map_or_else(|| id.to_ascii_uppercase(), ToString::to_string);
    let above = (place.above.unwrap_or_default(), place.command.get_name());
    match (above, told.as_str(), id) {
        // What is made has a name that is not known.
        ((_, "new" | "add"), _, "name") | (_, "NAME", "rename" | "user") => None,
        (("config", _), _, "key") => Some(Kind::Setting),
        (_, "REPO" | "REPO|PLACE", _) | (("repo", _), _, "name") => Some(Kind::Repo),
        (("remote", _), _, "name" | "from" | "to") => Some(Kind::Remote),
        _ if id.ends_with("remote") => Some(Kind::Remote),
        (_, "NAME[==VERSION]" | "NAME==VERSION" | "RELEASE" | "REQUIREMENTS", _) => Some(Kind::Release),
        (_, "ASSET" | "ASSET|PATH" | "NAME|PATH.dvc" | "NAME" | "NAMES", _) => Some(Kind::Asset),
        _ => None,
    }
}

/// The words of a command line up to where it is typed, as a shell of the Bourne kind divides them, without what it would put in for variables and patterns.
pub(crate) fn words_of(line: &str) -> Vec<String> {
    let (mut words, mut word) = (Vec::new(), String::new());
    let (mut quote, mut is_begun) = (None, false);
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        match (quote, letter) {
            (None, '\'' | '"') => (quote, is_begun) = (Some(letter), true),
            (Some(open), letter) if letter == open => quote = None,
            (None | Some('"'), '\\') => {
                word.extend(letters.next());
                is_begun = true;
            }
            (None, ' ' | '\t' | '\n') => {
                if is_begun {
                    words.push(std::mem::take(&mut word));
                }
                is_begun = false;
            }
            (_, letter) => {
                word.push(letter);
                is_begun = true;
            }
        }
    }
    words.push(word);
    words
}

/// The script that has a shell ask for candidates; `None` for shells that get one of fixed words.
pub(crate) const fn script(shell: clap_complete::Shell) -> Option<&'static str> {
    match shell {
        clap_complete::Shell::Bash => Some(BASH),
        clap_complete::Shell::Zsh => Some(ZSH),
        clap_complete::Shell::Fish => Some(FISH),
        _ => None,
    }
}

const BASH: &str = r#"# Completions of backlot for bash.
_backlot() {
    local line="${COMP_LINE:0:COMP_POINT}" IFS=$'\n' typed cut
    COMPREPLY=($(backlot complete --line -- "$line" 2>/dev/null))
    # Of a word with one of its own separators in it, bash has the part before that already.
    typed="${line##*[[:space:]]}"
    cut="${typed%"${typed##*[=:@]}"}"
    COMPREPLY=("${COMPREPLY[@]#"$cut"}")
}
complete -o default -F _backlot backlot
"#;

const ZSH: &str = r#"#compdef backlot
# Completions of backlot for zsh.
_backlot() {
    local -a found
    found=("${(@f)$(backlot complete -- "${(@Q)words[2,CURRENT]}" 2>/dev/null)}")
    if [[ -n "${found[1]}" ]]; then
        compadd -- "${found[@]}"
    else
        _files
    fi
}
if [ "$funcstack[1]" = "_backlot" ]; then
    _backlot "$@"
else
    compdef _backlot backlot
fi
"#;

const FISH: &str = r"# Completions of backlot for fish.
function __backlot_candidates
    set -l words (commandline -opc) (commandline -ct)
    set -l found (backlot complete -- $words[2..] 2>/dev/null)
    if test (count $found) -gt 0
        printf '%s\n' $found
    else
        __fish_complete_path (commandline -ct)
    end
end
complete -c backlot -f -a '(__backlot_candidates)'
";

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use backlot::KnownNames;

    use super::{Names, candidates, words_of};

    struct Studio;

    impl Names for Studio {
        fn all(&self, workspace: Option<&str>) -> KnownNames {
            let text = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
            let mut known = KnownNames::default();
            known.outputs = text(&["Table"]);
            known.inputs = text(&["lamp"]);
            known.packages = text(&["rug", "table"]);
            known.repos = text(&["blessed", "review"]);
            known.remotes = text(if workspace == Some("far") {
                &["far"]
            } else {
                &["main"]
            });
            known
        }

        fn versions(&self, _workspace: Option<&str>, asset: &str) -> Vec<String> {
            let versions: &[&str] = if asset == "rug" { &["2.0", "1.0"] } else { &[] };
            versions.iter().map(|version| (*version).to_owned()).collect()
        }
    }

    fn complete(line: &str) -> String {
        let words: Vec<String> = words_of(line).into_iter().skip(1).collect();
        candidates(&mut crate::args::Arguments::command(), &words, &Studio).join(" ")
    }

    #[test]
    fn commands_options_and_their_values_come_from_the_definitions() {
        for (line, found) in [
            ("backlot unt", "untrack"),
            ("backlot repo al", "allow"),
            ("backlot -w ws remote def", "default"),
            ("backlot install --overr", "--override"),
            ("backlot localize Table on", "on-demand"),
            (
                "backlot install --resolution=lowest-",
                "--resolution=lowest-direct",
            ),
            ("backlot run --wi", "--with"),
            ("backlot supervise", ""),
        ] {
            assert_eq!(complete(line), found, "{line}");
        }
    }

    #[test]
    fn names_are_those_that_a_command_takes() {
        for (line, found) in [
            ("backlot publish ", "Table lamp"),
            ("backlot publish Table --to r", "review"),
            ("backlot push --remote ", "main"),
            ("backlot -w far push --remote=", "--remote=far"),
            ("backlot --workspace=far remote remove ", "far"),
            ("backlot repo remove b", "blessed"),
            ("backlot install r", "rug"),
            ("backlot install lamp \"rug==", "rug==2.0 rug==1.0"),
            ("backlot run --with ru", "rug"),
            ("backlot run --with rug -- re", ""),
            ("backlot config get publ", "publish-to"),
            ("backlot new T", ""),
            ("backlot why l", "lamp"),
        ] {
            assert_eq!(complete(line), found, "{line}");
        }
    }

    #[test]
    fn a_line_is_divided_as_a_shell_does() {
        for (line, words) in [
            ("backlot a", &["backlot", "a"][..]),
            ("backlot ", &["backlot", ""]),
            ("backlot 'a b' \"c d", &["backlot", "a b", "c d"]),
            (r"backlot a\ b ''x", &["backlot", "a b", "x"]),
            ("backlot '' x", &["backlot", "", "x"]),
        ] {
            assert_eq!(words_of(line), words, "{line}");
        }
    }
}
