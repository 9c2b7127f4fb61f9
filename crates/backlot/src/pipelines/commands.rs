//! How commands of stages are started: in the caller's environment, with the inputs, and with the names of their asset.
//!
//! Deliberately absent: reading the environment of this process, which the host has.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use backlot_dvc::pipeline::PipelineError;
use backlot_dvc::pipeline::run::{Ended, Executor, Job, LocalExecutor, Output, Supervisor};

use crate::error::Result;
use crate::workspace::Opened;

/// How long commands that are stopped have to end.
const GRACE: Duration = Duration::from_secs(2);

/// Runs commands on this machine.
#[derive(Debug)]
pub(crate) struct AssetExecutor {
    local: LocalExecutor,
    /// More variables of the stages of a file.
    variables: BTreeMap<String, Vec<(String, OsString)>>,
}

impl Executor for AssetExecutor {
    fn run(&self, job: &Job<'_>, output: &dyn Output) -> Result<Ended, PipelineError> {
        let of_file = |file: &&String| {
            let rest = job.stage.strip_prefix(file.as_str());
            rest.is_some_and(|rest| rest.starts_with(':'))
        };
        let file = self
            .variables
            .keys()
            .filter(of_file)
            .max_by_key(|file| file.len());
        match file.and_then(|file| self.variables.get(file)) {
            Some(more) => self.local.run(&job.with_variables(more), output),
            None => self.local.run(job, output),
        }
    }
}

/// The variables of all commands.
pub(crate) struct CommandEnvironment {
    /// Variables.
    pub(crate) variables: Vec<(String, OsString)>,
    /// Folders that come first on the search path.
    pub(crate) path: Vec<PathBuf>,
}

impl Opened {
    /// What commands get of this workspace: the same that `backlot run` sets, and where it is. Without an environment, only that.
    pub(crate) fn command_environment(&self) -> Result<CommandEnvironment> {
        let mut variables = vec![("BACKLOT_WORKSPACE".to_owned(), self.root().as_os_str().to_owned())];
        let mut path = Vec::new();
        let Some(environment) = self.environment()? else {
            return Ok(CommandEnvironment { variables, path });
        };
        let packages = environment.site_packages().into_os_string();
        variables.push(("BACKLOT_INPUTS".to_owned(), packages));
        let run = self.run_environment()?;
        if let Some(root) = run.environment {
            variables.push(("VIRTUAL_ENV".to_owned(), root.into_os_string()));
        }
        if let Some(packages) = run.packages {
            let before = self.host().variable("PYTHONPATH").unwrap_or_default();
            let before: Vec<PathBuf> = std::env::split_paths(&before).collect();
            let all = std::iter::once(packages.clone()).chain(before);
            let all = all.filter(|folder| !folder.as_os_str().is_empty());
            let joined = std::env::join_paths(all).unwrap_or_else(|_| packages.into_os_string());
            variables.push(("PYTHONPATH".to_owned(), joined));
        }
        path.extend(run.scripts);
        Ok(CommandEnvironment { variables, path })
    }

    /// The executor of stages, with the variables of each file.
    pub(crate) fn executor(&self, variables: BTreeMap<String, Vec<(String, OsString)>>) -> AssetExecutor {
        let host = self.host();
        let mut environment = host.environment.0.clone();
        environment.retain(|(name, _)| name != "PYTHONHOME");
        if host.variable("PATH").is_none()
            && let Some(path) = &host.path
        {
            environment.push(("PATH".into(), path.clone()));
        }
        let supervisor = host.supervisor.as_ref().map(|(program, arguments)| Supervisor {
            program: program.clone(),
            arguments: arguments.clone(),
        });
        AssetExecutor {
            local: LocalExecutor::new(environment)
                .with_supervisor(supervisor)
                .with_grace(GRACE),
            variables,
        }
    }
}
