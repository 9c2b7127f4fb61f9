//! Running a command with the inputs of a workspace.

use std::ffi::OsString;
use std::path::Path;
use std::process::Command;

use backlot::{Error, WorkspaceError};

use crate::host;
use crate::output::Answer;
use crate::session::Session;

pub(super) fn run(session: &Session, command: &[OsString]) -> Result<Answer, Error> {
    let environment = session.open()?.run_environment()?;
    let Some((program, arguments)) = command.split_first() else {
        return Ok(Answer::exit(0));
    };
    let mut child = Command::new(found(program, environment.scripts.as_deref()));
    child.args(arguments).env_remove("PYTHONHOME");
    if let Some(root) = &environment.environment {
        child.env("VIRTUAL_ENV", root);
    }
    for (name, first) in [
        ("PATH", &environment.scripts),
        ("PYTHONPATH", &environment.packages),
    ] {
        if let Some(first) = first {
            child.env(name, host::search_path(name, first));
        }
    }
    let status = child.status().map_err(|source| WorkspaceError::CannotRun {
        program: program.to_string_lossy().into_owned(),
        source,
    })?;
    Ok(Answer::exit(exit_code(status)))
}

/// A plain name as the script of the inputs that has it; the search path of this process knows nothing of those.
fn found(program: &OsString, scripts: Option<&Path>) -> OsString {
    let plain = Path::new(program).components().count() == 1;
    let script = scripts.map(|folder| folder.join(program));
    match script.filter(|script| plain && script.is_file()) {
        Some(script) => script.into_os_string(),
        None => program.clone(),
    }
}

/// As shells have it: 128 and the number of the signal that ended it.
fn exit_code(status: std::process::ExitStatus) -> u8 {
    #[cfg(unix)]
    if let Some(signal) = std::os::unix::process::ExitStatusExt::signal(&status) {
        return u8::try_from(128 + signal).unwrap_or(u8::MAX);
    }
    status
        .code()
        .and_then(|code| u8::try_from(code).ok())
        .unwrap_or(1)
}
