//! The command `backlot`: arguments in, one report or one error out.
//!
//! Invariants: reports go to standard output, everything else to standard error; the exit code is the class of the error
//! (see `docs/errors.md`); this crate is the only one that reads the environment or knows of a terminal.

mod args;
mod commands;
mod credentials;
mod demo;
mod errors;
mod host;
mod output;
mod progress;
mod session;

// Buffers of a MiB come and go by the thousand; the system's allocator returns each to the kernel and faults it in anew.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

use std::process::ExitCode;

use clap::{ArgMatches, CommandFactory as _, FromArgMatches as _};

use crate::args::Arguments;
use crate::session::Session;

fn main() -> ExitCode {
    let (arguments, command) = match parse() {
        Ok(parsed) => parsed,
        Err(code) => return code,
    };
    let session = Session::new(&arguments.global, command);
    let cancel = session.cancel.clone();
    // The second signal ends at once; the first lets running work stop between two steps.
    ctrlc::set_handler(move || {
        if cancel.is_cancelled() {
            // The person asked twice; everything visible is whole at any instant.
            std::process::exit(130);
        }
        cancel.cancel();
    })
    .ok();
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
        let given = std::env::args_os()
            .skip(1)
            .take_while(|argument| argument != "--");
        if error.use_stderr() && given.into_iter().any(|argument| argument == "--json") {
            return errors::print_usage(&error);
        }
        error.print().ok();
        ExitCode::from(if error.use_stderr() { 2 } else { 0 })
    })
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
