//! The libraries name operations (`pull --force`), since not all who embed them have a command; here they become the command's.

use std::borrow::Cow;
use std::sync::OnceLock;

use clap::{Command, CommandFactory as _};

use crate::args::Arguments;

/// A text of a library with each operation in backticks as the command that does it: `pull` is `backlot pull`.
///
/// Only what can be run is one: `cache clean`, but not `cache`, which may be a word of a file.
pub(crate) fn with_commands(text: &str) -> Cow<'_, str> {
    static COMMAND: OnceLock<Command> = OnceLock::new();
    if !text.contains('`') {
        return Cow::Borrowed(text);
    }
    let command = COMMAND.get_or_init(Arguments::command);
    let parts: Vec<&str> = text.split('`').collect();
    let last = parts.len() - 1;
    let mut named = String::with_capacity(text.len() + 16);
    for (at, part) in parts.iter().enumerate() {
        if at > 0 {
            named.push('`');
        }
        if at % 2 == 1 && at < last && runs(command, part).is_some() {
            named.push_str("backlot ");
        }
        named.push_str(part);
    }
    Cow::Owned(named)
}

/// The command that an operation names, if there is one that can be run.
fn runs<'a>(command: &'a Command, operation: &str) -> Option<&'a Command> {
    let mut words = operation.split(' ');
    let mut named = command.find_subcommand(words.next()?)?;
    for word in words {
        match named.find_subcommand(word) {
            Some(below) => named = below,
            None => break,
        }
    }
    (!named.is_subcommand_required_set()).then_some(named)
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::*;

    #[test]
    fn operations_become_commands_and_other_words_stay() {
        assert_eq!(
            with_commands(
                "run `pull --force` or `cache clean`; see `cache`, `params` of `dvc.yaml`, `python = \"3.12\"`"
            ),
            "run `backlot pull --force` or `backlot cache clean`; see `cache`, `params` of `dvc.yaml`, `python = \"3.12\"`"
        );
        assert_eq!(
            with_commands("an odd ` and no command"),
            "an odd ` and no command"
        );
        assert_eq!(with_commands("`pull` and `push"), "`backlot pull` and `push");
    }

    /// Whatever a library, or the command itself, tells people to run, can be run: the command is there and has these options.
    #[test]
    fn every_operation_that_is_named_is_there() {
        let command = Arguments::command();
        let mut named = 0;
        let mut wrong = Vec::new();
        let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("crates");
        for path in sources(crates) {
            let text = fs_err::read_to_string(&path).expect("a source");
            for line in text.lines().filter(|line| !line.trim_start().starts_with("//")) {
                for span in line.split('`').skip(1).step_by(2) {
                    let (operation, surely) = match span.strip_prefix("backlot ") {
                        Some(operation) => (operation, true),
                        None => (span, false),
                    };
                    match runs(&command, operation) {
                        Some(command) => {
                            named += 1;
                            wrong.extend(
                                unknown_options(command, operation)
                                    .map(|option| format!("{}: `{span}`: {option}", path.display())),
                            );
                        }
                        None if surely && !is_group(&command, operation) => {
                            wrong.push(format!("{}: `{span}`: no such command", path.display()));
                        }
                        None => {}
                    }
                }
            }
        }
        assert!(named > 200, "{named}");
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    fn sources(folder: &Path) -> Vec<PathBuf> {
        let entries = fs_err::read_dir(folder).expect("a folder of sources");
        let paths = entries.map(|entry| entry.expect("an entry").path());
        let sources = paths.flat_map(|path| match path.extension() {
            _ if path.is_dir() => sources(&path),
            Some(extension) if extension == "rs" && !path.ends_with("wording.rs") => vec![path],
            _ => Vec::new(),
        });
        sources.collect()
    }

    fn unknown_options<'a>(command: &'a Command, operation: &'a str) -> impl Iterator<Item = &'a str> {
        let known = |option: &str| {
            let all = Arguments::command();
            let own = command
                .get_arguments()
                .any(|argument| argument.get_long() == Some(option));
            own || option == "help"
                || all
                    .get_arguments()
                    .any(|argument| argument.get_long() == Some(option))
        };
        operation
            .split(' ')
            .take_while(|word| *word != "--")
            .filter_map(|word| word.strip_prefix("--"))
            .filter(move |option| !known(option.split('=').next().unwrap_or(option)))
    }

    /// `backlot cache`: all of its commands are meant; and `help`, which clap adds.
    fn is_group(command: &Command, operation: &str) -> bool {
        operation
            .split(' ')
            .take_while(|word| !word.starts_with('{'))
            .try_fold(command, |command, word| command.find_subcommand(word))
            .is_some()
            || operation.starts_with("help")
    }
}
