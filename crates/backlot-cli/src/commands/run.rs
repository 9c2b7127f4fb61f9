//! Running a command with the inputs of a workspace.

use std::ffi::OsString;
use std::path::Path;
use std::process::Command;

use backlot::{Error, WorkspaceError, platform};

use crate::host;
use crate::output::Answer;
use crate::session::Session;

pub(super) fn run(session: &Session, command: &[OsString]) -> Result<Answer, Error> {
    let environment = session.open()?.run_environment(&session.context)?;
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
    // What the program prints comes after it.
    session.finish_progress();
    let code = platform::replace_process(&mut child).map_err(|source| WorkspaceError::CannotRun {
        program: program.to_string_lossy().into_owned(),
        source,
    })?;
    Ok(Answer::exit(u8::try_from(code).unwrap_or(1)))
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
