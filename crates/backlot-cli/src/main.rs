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

use clap::Parser as _;

use crate::args::Arguments;
use crate::session::Session;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let session = Session::new(&arguments.global);
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
            output::print(&answer, &session);
            answer.failure.map_or(ExitCode::SUCCESS, |failure| {
                errors::print(&*failure, &session, true)
            })
        }
        Err(error) => errors::print(&error, &session, false),
    }
}
