//! Running a command, or a shell, with the inputs of a workspace or with releases that need none.

use std::ffi::OsString;
use std::path::Path;
use std::process::Command;

use backlot::{
    CachedEnvironment, EditError, EnvironmentOptions, EnvironmentReport, Error, RunEnvironment, Workspace,
    WorkspaceError, platform, text,
};
use serde::Serialize;

use crate::args::{EnvArgs, RunArgs, ShellArgs, ShellSyntax, WithArgs};
use crate::host;
use crate::output::{Answer, columns};
use crate::session::Session;

pub(super) fn run(session: &Session, args: &RunArgs) -> Result<Answer, Error> {
    let Some((program, arguments)) = args.command.split_first() else {
        return Ok(Answer::exit(0));
    };
    if let Some(hook) = &args.hook {
        return run_hook(session, args, hook, (program, arguments));
    }
    start(session, &args.with, |environment| {
        let mut command = Command::new(found(program, environment.scripts.as_deref()));
        command.args(arguments);
        command
    })
}

/// Run a hook of an asset, in the environment that has it.
fn run_hook(
    session: &Session,
    args: &RunArgs,
    hook: &str,
    (asset, arguments): (&OsString, &[OsString]),
) -> Result<Answer, Error> {
    let asset = asset.to_string_lossy();
    let (name, range) = asset.split_at(
        asset
            .find(['=', '<', '>', '!', '~', '@', '['])
            .unwrap_or(asset.len()),
    );
    let with = if args.group.is_empty() {
        args.with.clone()
    } else {
        WithArgs {
            with: vec![format!("{name}[{}]{range}", args.group.join(","))],
            ..args.with.clone()
        }
    };
    let chosen = Chosen::find(session, &with)?;
    let Some(run) = chosen.run() else {
        return Ok(chosen.planned());
    };
    let workspace = match chosen.report() {
        Some(report) => Workspace::open(&report.root, &session.host)?,
        None => session.open()?,
    };
    let hooks = workspace.asset_hooks(name, &session.context)?;
    let Some(found) = hooks.iter().find(|found| found.name == hook) else {
        let known: Vec<&str> = hooks.iter().map(|hook| hook.name.as_str()).collect();
        return Err(EditError::NoHook {
            asset: name.to_owned(),
            hook: hook.to_owned(),
            known: known.join(", "),
        }
        .into());
    };
    let Some(scripts) = run.environment.as_ref().and(run.scripts.as_deref()) else {
        let asset = name.to_owned();
        return Err(EditError::NoPythonForHook { asset }.into());
    };
    let mut command = Command::new(found_in(scripts, "python"));
    command.args(found.arguments()).args(arguments);
    become_command(session, &chosen, command, run)
}

fn found_in(scripts: &Path, program: &str) -> OsString {
    found(&program.into(), Some(scripts))
}

pub(super) fn shell(session: &Session, args: &ShellArgs) -> Result<Answer, Error> {
    start(session, &args.with, |_| Command::new(host::shell()))
}

pub(super) fn env(session: &Session, args: &EnvArgs) -> Result<Answer, Error> {
    let chosen = Chosen::find(session, &args.with)?;
    let Some(run) = chosen.run() else {
        return Ok(chosen.planned());
    };
    let variables = variables(run);
    let mut lines = String::new();
    for (name, value) in &variables {
        lines.push_str(&assignment(args.syntax, name, &value.to_string_lossy()));
    }
    lines.push_str(match args.syntax {
        ShellSyntax::Sh => "unset PYTHONHOME\n",
        ShellSyntax::Csh => "unsetenv PYTHONHOME;\n",
        ShellSyntax::Fish => "set -e PYTHONHOME\n",
        ShellSyntax::Powershell => "Remove-Item Env:PYTHONHOME -ErrorAction SilentlyContinue\n",
    });
    let named = variables.iter();
    let named = named.map(|(name, value)| ((*name).to_owned(), value.to_string_lossy().into()));
    let report = Printed {
        variables: named.collect(),
        environment: chosen.report(),
    };
    Ok(Answer::new(&report, lines))
}

/// The report of `env`.
#[derive(Serialize)]
struct Printed<'a> {
    variables: serde_json::Map<String, serde_json::Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    environment: Option<&'a EnvironmentReport>,
}

/// Where a command runs.
enum Chosen {
    /// With the inputs of a workspace.
    Inputs(RunEnvironment),
    /// With releases.
    Releases(CachedEnvironment),
}

impl Chosen {
    fn find(session: &Session, with: &WithArgs) -> Result<Self, Error> {
        if with.with.is_empty() {
            return Ok(Self::Inputs(session.open()?.run_environment(&session.context)?));
        }
        let options = EnvironmentOptions::new()
            .from(with.from.clone())
            .pull(with.pull)
            .remote(with.remote.clone())
            .here(session.here.clone())
            .prereleases(with.pre)
            .dry_run(with.dry_run);
        let (host, context) = (&session.host, &session.context);
        let cached = Workspace::cached_environment(&session.workspace, &with.with, &options, host, context)?;
        Ok(Self::Releases(cached))
    }

    /// How a command is run in it; none in a dry run.
    const fn run(&self) -> Option<&RunEnvironment> {
        match self {
            Self::Inputs(run) => Some(run),
            Self::Releases(cached) => cached.run.as_ref(),
        }
    }

    const fn report(&self) -> Option<&EnvironmentReport> {
        match self {
            Self::Inputs(_) => None,
            Self::Releases(cached) => Some(&cached.report),
        }
    }

    /// The answer of a dry run.
    fn planned(&self) -> Answer {
        let Some(report) = self.report() else {
            return Answer::exit(0);
        };
        let rows: Vec<Vec<String>> = report
            .packages
            .iter()
            .map(|one| {
                vec![
                    one.package.to_string(),
                    one.version.to_string(),
                    one.repo.clone().unwrap_or_default(),
                ]
            })
            .collect();
        let state = if report.made {
            "would be created in"
        } else {
            "already exists:"
        };
        let count = text::count(report.packages.len() as u64, "package");
        let place = report.root.display();
        Answer::new(
            report,
            format!("{}the environment of {count} {state} `{place}`\n", columns(&rows)),
        )
    }
}

/// Become a command in an environment.
fn start(
    session: &Session,
    with: &WithArgs,
    command: impl FnOnce(&RunEnvironment) -> Command,
) -> Result<Answer, Error> {
    let chosen = Chosen::find(session, with)?;
    let Some(run) = chosen.run() else {
        return Ok(chosen.planned());
    };
    become_command(session, &chosen, command(run), run)
}

fn become_command(
    session: &Session,
    chosen: &Chosen,
    mut child: Command,
    run: &RunEnvironment,
) -> Result<Answer, Error> {
    child.env_remove("PYTHONHOME").envs(variables(run));
    if let Chosen::Releases(cached) = chosen {
        cached.pass_on()?;
    }
    // The output of the program follows.
    session.finish_progress();
    let code = platform::replace_process(&mut child).map_err(|source| WorkspaceError::CannotRun {
        program: child.get_program().to_string_lossy().into_owned(),
        source,
    })?;
    Ok(Answer::exit(u8::try_from(code).unwrap_or(1)))
}

/// The variables for a command.
fn variables(environment: &RunEnvironment) -> Vec<(&'static str, OsString)> {
    let mut variables = Vec::new();
    if let Some(root) = &environment.environment {
        variables.push(("VIRTUAL_ENV", root.clone().into_os_string()));
    }
    for (name, first) in [
        ("PATH", &environment.scripts),
        ("PYTHONPATH", &environment.packages),
    ] {
        if let Some(first) = first {
            variables.push((name, host::search_path(name, first)));
        }
    }
    variables
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

/// A line that sets a variable for commands of a shell.
fn assignment(syntax: ShellSyntax, name: &str, value: &str) -> String {
    match syntax {
        ShellSyntax::Sh => format!("export {name}='{}'\n", value.replace('\'', r"'\''")),
        // History expands `!` inside quotes, too.
        ShellSyntax::Csh => {
            let value = value.replace('\'', r"'\''").replace('!', r"\!");
            format!("setenv {name} '{value}';\n")
        }
        ShellSyntax::Fish => {
            let quote = |text: &str| format!("'{}'", text.replace('\\', r"\\").replace('\'', r"\'"));
            let parts: Vec<String> = if name.ends_with("PATH") {
                value.split(':').map(quote).collect()
            } else {
                vec![quote(value)]
            };
            format!("set -gx {name} {}\n", parts.join(" "))
        }
        ShellSyntax::Powershell => format!("$env:{name} = '{}'\n", value.replace('\'', "''")),
    }
}

#[cfg(test)]
mod tests {
    use super::{ShellSyntax, assignment};

    #[test]
    fn values_with_quotes_are_set_in_the_syntax_of_each_shell() {
        for (syntax, line) in [
            (ShellSyntax::Sh, "export PATH='/a b:/it'\\''s!'\n"),
            (ShellSyntax::Csh, "setenv PATH '/a b:/it'\\''s\\!';\n"),
            (ShellSyntax::Fish, "set -gx PATH '/a b' '/it\\'s!'\n"),
            (ShellSyntax::Powershell, "$env:PATH = '/a b:/it''s!'\n"),
        ] {
            assert_eq!(assignment(syntax, "PATH", "/a b:/it's!"), line, "{syntax:?}");
        }
    }
}
