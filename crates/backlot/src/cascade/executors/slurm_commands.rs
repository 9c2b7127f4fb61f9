//! Slurm's commands: `sbatch`, `squeue`, `scontrol`, `scancel`, and what they say.
//!
//! Deliberately absent: when one is called (`slurm`).

use backlot_cascade::RunState;
use backlot_core::Context;

use super::kind::ExecutorOptions;
use super::program::{ProgramError, output};
use super::squeue::Queue;
use crate::workspace::Opened;
use crate::workspace::cascade_section::SlurmSection;
use crate::workspace::settings::CommandVariables;

/// Slurm's commands, as they are called here.
#[derive(Debug)]
pub(crate) struct Slurm {
    pub(crate) section: SlurmSection,
    pub(crate) variables: CommandVariables,
}

impl Slurm {
    pub(super) fn run(
        &self,
        words: &[String],
        input: &str,
        context: &Context,
    ) -> Result<String, ProgramError> {
        output(words, input, &self.variables.0, context)
    }

    pub(super) fn queue(&self, context: &Context) -> Result<Queue, ProgramError> {
        let words = ["squeue", "--json"].map(ToOwned::to_owned);
        let printed = self.run(&words, "", context)?;
        Queue::read(&printed).map_err(ProgramError::Failed)
    }

    /// How many tasks an array may have.
    pub(super) fn array_size(&self, context: &Context) -> Option<usize> {
        let words = ["scontrol", "show", "config"].map(ToOwned::to_owned);
        let printed = self.run(&words, "", context).ok()?;
        let line = printed
            .lines()
            .find(|line| line.trim_start().starts_with("MaxArraySize"))?;
        line.split_once('=')?.1.trim().parse().ok()
    }

    /// End jobs, those that ended too.
    pub(crate) fn cancel(&self, jobs: &[String], context: &Context) -> Result<(), String> {
        if jobs.is_empty() {
            return Ok(());
        }
        let words: Vec<String> = std::iter::once("scancel".to_owned())
            .chain(jobs.iter().cloned())
            .collect();
        match self.run(&words, "", context) {
            Ok(_) => Ok(()),
            // Of jobs that Slurm has forgotten.
            Err(ProgramError::Failed(reason))
                if reason.contains("Invalid job id") || reason.contains("already complet") =>
            {
                Ok(())
            }
            Err(ProgramError::Failed(reason) | ProgramError::Absent(reason)) => Err(reason),
        }
    }
}

/// What a job of a batch is found by.
pub(super) fn key(cascade: &str, batch: &str) -> String {
    format!("backlot:{cascade}:{batch}")
}

/// What `sbatch --parsable` prints: `1234`, or `1234;cluster`.
pub(super) fn job_of(printed: &str) -> Result<String, ProgramError> {
    let job = printed
        .lines()
        .last()
        .unwrap_or_default()
        .split(';')
        .next()
        .unwrap_or_default();
    if job.is_empty() || !job.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(ProgramError::Failed(format!(
            "`sbatch` printed `{}`",
            printed.trim()
        )));
    }
    Ok(job.to_owned())
}

/// Whether a refusal of `sbatch` is about what was asked, which another time would be refused, too.
pub(super) fn is_final(reason: &str) -> bool {
    let reason = reason.to_ascii_lowercase();
    [
        "invalid",
        "unrecognized option",
        "not permitted",
        "denied",
        "unable to open file",
    ]
    .iter()
    .any(|word| reason.contains(word))
}

/// A word for a shell.
pub(super) fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', "'\\''"))
}

impl Opened {
    /// Slurm, as the configuration and the options have it.
    pub(crate) fn slurm(&self, options: &ExecutorOptions) -> crate::error::Result<Slurm> {
        let mut section = self.cascade_section()?.slurm;
        section.partition = options.partition.clone().or(section.partition);
        section.account = options.account.clone().or(section.account);
        section.arguments.extend(options.sbatch_arguments.iter().cloned());
        Ok(Slurm {
            section,
            variables: self.host().environment.clone(),
        })
    }

    /// End the jobs of a cascade that was cancelled. A runner does it, too; there may be none.
    pub(crate) fn cancel_jobs(&self, state: &RunState) {
        if state.cancelled().is_none() {
            return;
        }
        let batches = state.batches().iter();
        let jobs: Vec<String> = batches
            .filter(|started| started.batch.executor == "slurm")
            .filter_map(|started| started.job.clone())
            .collect();
        let cancelled = self
            .slurm(&ExecutorOptions::default())
            .map_err(|error| error.to_string())
            .and_then(|slurm| slurm.cancel(&jobs, self.context()));
        if let Err(reason) = cancelled {
            let message = format!(
                "cannot cancel the jobs of the cascade from this machine: {reason}; the process that runs it cancels them"
            );
            self.context().warn("cascade::scheduler_silent", message);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{is_final, job_of, key, quoted};

    #[test]
    fn the_answer_of_sbatch_is_a_number() {
        assert_eq!(job_of("1234\n").expect("a job"), "1234");
        assert_eq!(job_of("1234;main\n").expect("a job"), "1234");
        assert!(job_of("").is_err() && job_of("Submitted batch job 12").is_err());
    }

    #[test]
    fn a_refusal_of_what_was_asked_is_final_and_a_busy_controller_is_not() {
        for reason in [
            "sbatch: error: invalid partition specified: nope; AttemptBatch job submission failed: Invalid partition name specified",
            "sbatch: unrecognized option '--nope'",
        ] {
            assert!(is_final(reason), "{reason}");
        }
        for reason in [
            "AttemptBatch job submission failed: Unable to contact slurm controller (connect failure)",
            "Socket timed out on send/recv operation",
            "Slurm temporarily unable to accept job, sleeping and retrying",
        ] {
            assert!(!is_final(reason), "{reason}");
        }
    }

    #[test]
    fn words_reach_the_shell_as_they_are() {
        assert_eq!(quoted("it's $HOME"), "'it'\\''s $HOME'");
        assert_eq!(key("3f9c", "ab"), "backlot:3f9c:ab");
    }
}
