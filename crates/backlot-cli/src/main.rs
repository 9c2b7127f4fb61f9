//! The command `backlot`: arguments in, one report or one error out.
//!
//! Invariants: reports go to standard output, everything else to standard error; the exit code is the class of the error
//! (see `docs/errors.md`); this crate is the only one that reads the environment or knows of a terminal.

mod args;
mod commands;
mod complete;
mod demo;
mod errors;
mod host;
mod output;
mod pages;
mod progress;
mod session;
mod signals;
mod wording;

// Buffers of a MiB come and go by the thousand; the system's allocator returns each to the kernel and faults it in anew.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Arg, ArgMatches, CommandFactory as _, FromArgMatches as _};

use crate::args::{Arguments, CascadeCommand, Command};
use crate::session::Session;

fn main() -> ExitCode {
    // Before anything starts a thread.
    if let Some(code) = host::supervised() {
        return code;
    }
    let (arguments, command) = match parse() {
        Ok(parsed) => parsed,
        Err(code) => return code,
    };
    let session = Session::new(&arguments.global, command);
    let is_attempt = matches!(arguments.command, Command::Cascade(CascadeCommand::RunNode(_)));
    signals::handle(&session, is_attempt);
    if !matches!(arguments.command, Command::Run(_) | Command::Shell(_)) {
        backlot::platform::raise_open_files();
    }
    let result = commands::run(&arguments.command, &session);
    session.finish_progress();
    match result {
        Ok(answer) if answer.exit.is_some() => ExitCode::from(answer.exit.unwrap_or(1)),
        Ok(answer) => {
            if let Err(error) = output::print(&answer, &session) {
                return errors::print(&error, &session, true);
            }
            answer.failure.map_or(ExitCode::SUCCESS, |failure| {
                errors::print(&*failure, &session, true)
            })
        }
        Err(error) => errors::print(&error, &session, false),
    }
}

/// The arguments, and the whole name of the command. Help and the version are printed; wrong usage is an error like any
/// other, in JSON where that was asked for.
fn parse() -> Result<(Arguments, String), ExitCode> {
    let parsed = Arguments::command().try_get_matches().and_then(|matches| {
        let name = full_name(&matches);
        Ok((Arguments::from_arg_matches(&matches)?, name))
    });
    parsed.map_err(|error| {
        let given: Vec<OsString> = std::env::args_os()
            .skip(1)
            .take_while(|argument| argument != "--")
            .collect();
        if error.use_stderr() && given.iter().any(|argument| argument == "--json") {
            return errors::print_usage(&error, &named(&given));
        }
        errors::print_for_people(&error)
    })
}

/// The whole name of the command that arguments name, as far as they do; the rest of them may be wrong.
fn named(given: &[OsString]) -> String {
    let mut command = Arguments::command();
    command.build();
    let (mut current, mut words) = (&command, Vec::new());
    let mut given = given.iter().filter_map(|argument| argument.to_str());
    while let Some(argument) = given.next() {
        if argument.starts_with('-') {
            let is_it = |option: &&Arg| match argument.strip_prefix("--") {
                Some(long) => option.get_long() == Some(long),
                None => option.get_short() == argument.chars().nth(1) && argument.chars().count() == 2,
            };
            let option = current.get_arguments().find(is_it);
            if option.is_some_and(|option| option.get_action().takes_values()) {
                given.next();
            }
        } else if let Some(below) = current.find_subcommand(argument) {
            words.push(below.get_name());
            current = below;
        } else {
            break;
        }
    }
    words.join(" ")
}

/// `repo add`.
fn full_name(matches: &ArgMatches) -> String {
    let mut words = Vec::new();
    let mut next = matches.subcommand();
    while let Some((name, below)) = next {
        words.push(name.to_owned());
        next = below.subcommand();
    }
    words.join(" ")
}
