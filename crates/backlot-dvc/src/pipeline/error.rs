//! Errors of pipelines.
//!
//! Invariant: an error names the file, the line where it is known, and the stage or key. Deliberately absent: commands
//! that fail, which are found out when stages run.

use std::fmt;

use backlot_core::{Class, text};

use super::problem::Problem;

/// Result of reading or planning a pipeline.
pub type Result<T, E = PipelineError> = std::result::Result<T, E>;

/// A place in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spot {
    /// The file, relative to the project.
    pub file: String,
    /// The line, from 1; 0 where it is not known.
    pub line: usize,
}

impl Spot {
    /// A line of a file.
    pub fn new(file: impl fmt::Display, line: usize) -> Self {
        let file = file.to_string();
        Self { file, line }
    }
}

impl fmt::Display for Spot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.file.escape_debug())?;
        if self.line > 0 {
            write!(f, ", line {}", self.line)?;
        }
        Ok(())
    }
}

/// A defect of a pipeline.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PipelineError {
    /// A file of a pipeline that cannot be read from the disk.
    #[error("cannot read `{file}`: {reason}")]
    Unreadable {
        /// The file.
        file: String,
        /// The system's message.
        reason: String,
    },
    /// A file that is not valid YAML, JSON, TOML or Python.
    #[error("{spot}: {reason}")]
    Syntax {
        /// Where.
        spot: Spot,
        /// The parser's message.
        reason: String,
    },
    /// A `dvc.yaml` with a key or value that DVC refuses.
    #[error("{spot}: `{key}` {reason}")]
    Schema {
        /// Where.
        spot: Spot,
        /// The key, with the keys it is below.
        key: String,
        /// The reason.
        reason: String,
    },
    /// A `${...}` that cannot be used.
    #[error("{spot}: `{key}` {reason}")]
    Template {
        /// Where.
        spot: Spot,
        /// The key, with the keys it is below.
        key: String,
        /// The reason.
        reason: String,
    },
    /// A `${...}` with a name that nothing defines.
    #[error("{spot}: `{key}` uses `${{{name}}}`, which is not defined")]
    UnknownVariable {
        /// Where.
        spot: Spot,
        /// The key, with the keys it is below.
        key: String,
        /// The name.
        name: String,
        /// A defined name that is nearly the same.
        nearest: Option<String>,
    },
    /// `vars` that cannot be loaded.
    #[error("{spot}: `{key}` {reason}")]
    Vars {
        /// Where.
        spot: Spot,
        /// The key, with the keys it is below.
        key: String,
        /// The reason.
        reason: String,
    },
    /// A lock that DVC did not write so.
    #[error("{spot}: {reason}")]
    Lock {
        /// Where.
        spot: Spot,
        /// The reason.
        reason: String,
    },
    /// A lock with both sides of a merge in it.
    #[error("{spot}: unresolved merge conflict")]
    LockConflict {
        /// Where.
        spot: Spot,
    },
    /// Stages that wait for each other.
    #[error("circular dependency between stages: {}", stages.join(" -> "))]
    Cycle {
        /// The stages; the first comes again at the end.
        stages: Vec<String>,
    },
    /// Two stages that make one output.
    #[error("`{path}` is an output of both {first} and {second}")]
    SameOutput {
        /// The output.
        path: String,
        /// A stage or pointer.
        first: String,
        /// The other.
        second: String,
    },
    /// An output inside another.
    #[error("the output `{inner}` of {inner_owner} is inside `{outer}`, an output of {outer_owner}")]
    OverlappingOutputs {
        /// The one inside.
        inner: String,
        /// Its stage or pointer.
        inner_owner: String,
        /// The folder.
        outer: String,
        /// Its stage or pointer.
        outer_owner: String,
    },
    /// A stage that reads its own output.
    #[error("{stage} has `{path}` as both a dependency and an output")]
    OwnOutput {
        /// The stage.
        stage: String,
        /// The path.
        path: String,
    },
    /// A file that defines stages and that a stage would write.
    #[error("`{file}` is inside `{path}`, an output of {stage}")]
    DefinitionInOutput {
        /// The `dvc.yaml` or `.dvc` file.
        file: String,
        /// The output.
        path: String,
        /// The stage.
        stage: String,
    },
    /// An output that no stage may write.
    #[error("{spot}: the output `{}` of `{stage}` {reason}", path.escape_debug())]
    HostileOutput {
        /// Where.
        spot: Spot,
        /// The stage.
        stage: String,
        /// The output as the file has it.
        path: String,
        /// The reason.
        reason: &'static str,
    },
    /// A path that means different things on different platforms.
    #[error("{spot}: `{key}` has the path `{}`, which {reason}", path.escape_debug())]
    Path {
        /// Where.
        spot: Spot,
        /// The key, with the keys it is below.
        key: String,
        /// The path.
        path: String,
        /// The reason.
        reason: &'static str,
    },
    /// A target that is nothing.
    #[error("no stage, group or file `{}`{}", target.escape_debug(), in_file(file.as_deref()))]
    UnknownTarget {
        /// The target.
        target: String,
        /// The `dvc.yaml` that was searched.
        file: Option<String>,
        /// A known name that is nearly the same.
        nearest: Option<String>,
    },
    /// Parameters that their file does not have.
    #[error("`{file}` has no {}, which {stage} depends on", list(keys))]
    MissingParameters {
        /// The file.
        file: String,
        /// The keys.
        keys: Vec<String>,
        /// The stage.
        stage: String,
    },
    /// A parameter that no lock can hold.
    #[error("the parameter `{key}` of `{file}` is {kind}, which a lock cannot record")]
    ForeignParameter {
        /// The file.
        file: String,
        /// The key.
        key: String,
        /// Its type, with its article.
        kind: &'static str,
    },
    /// A parameter file that is not a mapping.
    #[error("the parameter file `{file}` contains {kind}, not a mapping")]
    NoParameters {
        /// The file.
        file: String,
        /// Its type, with its article.
        kind: &'static str,
    },
    /// Stages that failed.
    #[error("{} failed: {}", text::count(stages.len() as u64, "stage"), stages.join(", "))]
    Failed {
        /// The stages.
        stages: Vec<String>,
    },
    /// A command that failed.
    #[error("`{stage}` failed: `{command}` {how}")]
    CommandFailed {
        /// The stage.
        stage: String,
        /// The command line.
        command: String,
        /// How it ended.
        how: String,
    },
    /// A command that cannot be started.
    #[error("cannot start a command of `{stage}`: {reason}")]
    CannotStart {
        /// The stage.
        stage: String,
        /// The system's message.
        reason: String,
    },
    /// A shell that takes other commands than DVC's pipelines have.
    #[error("unsupported shell `{shell}`")]
    Shell {
        /// The shell.
        shell: String,
    },
    /// A working folder that does not exist.
    #[error("the working folder `{folder}` of `{stage}` does not exist")]
    NoFolder {
        /// The stage.
        stage: String,
        /// The folder.
        folder: String,
    },
    /// An output that the command did not make.
    #[error("the commands of `{stage}` succeeded, but did not produce its output `{path}`")]
    NotMade {
        /// The stage.
        stage: String,
        /// The output.
        path: String,
    },
    /// Files or parameters that a stage needs and that are missing.
    #[error("`{stage}` cannot run: {}", missing.join(", "))]
    MissingInputs {
        /// The stage.
        stage: String,
        /// Which, as sentences.
        missing: Vec<String>,
    },
    /// The record of an interrupted run that cannot be read.
    #[error("cannot read `{file}`, the record of an interrupted run: {reason}")]
    RunRecord {
        /// The file.
        file: String,
        /// The reason.
        reason: String,
    },
    /// A stage that is to be added and is there.
    #[error("{spot}: the stage `{stage}` already exists")]
    StageExists {
        /// Where.
        spot: Spot,
        /// The stage.
        stage: String,
    },
    /// A stage whose lines cannot be changed alone.
    #[error("{spot}: cannot edit the stage `{stage}`: {reason}")]
    Edit {
        /// Where.
        spot: Spot,
        /// The stage.
        stage: String,
        /// Why.
        reason: String,
    },
    /// A file that no chart can be drawn from.
    #[error("cannot plot `{file}`: {reason}")]
    Plot {
        /// The file.
        file: String,
        /// The reason.
        reason: String,
    },
    /// An invalid entry of the run cache.
    #[error("`{name}` is not a valid entry of the run cache: {reason}")]
    RunCacheEntry {
        /// Its name.
        name: String,
        /// The reason.
        reason: String,
    },
}

backlot_core::coded! {
    PipelineError {
        Self::Unreadable { .. } => "pipeline::unreadable", Class::Environment,
            "check that the file exists and can be read";
        Self::Syntax { .. } => "pipeline::syntax", Class::Config,
            "correct the line";
        Self::Schema { .. } => "pipeline::schema", Class::Config,
            "correct it as documented for dvc.yaml; custom data goes under `meta` of a stage";
        Self::Template { .. } => "pipeline::template", Class::Config,
            "correct the expression; for a literal `${`, such as a shell variable, write `\\${`";
        Self::UnknownVariable { nearest, .. } => "pipeline::unknown_variable", Class::Config,
            unknown_variable(nearest.as_deref());
        Self::Vars { .. } => "pipeline::vars", Class::Config,
            "correct the entry of `vars`: a file, `file:key,key` or a mapping, each name defined once";
        Self::Lock { .. } => "pipeline::lock", Class::Integrity,
            "restore the file from its last good version, or remove it: results in the run cache are not recomputed";
        Self::LockConflict { .. } => "pipeline::lock_conflict", Class::Conflict,
            "keep one side (`git checkout --ours` or `--theirs` on the file), then reproduce the stages";
        Self::Cycle { .. } => "pipeline::cycle", Class::Config,
            "remove one of the dependencies";
        Self::SameOutput { .. } => "pipeline::same_output", Class::Conflict,
            "give each output exactly one stage or `.dvc` file";
        Self::OverlappingOutputs { .. } => "pipeline::overlapping_outputs", Class::Conflict,
            "declare either the folder or the paths inside it as outputs";
        Self::OwnOutput { .. } => "pipeline::own_output", Class::Config,
            "remove the path from the dependencies; for an output that a stage continues, use `persist: true`";
        Self::DefinitionInOutput { .. } => "pipeline::definition_in_output", Class::Config,
            "move the file out of the output's folder";
        Self::HostileOutput { .. } => "pipeline::hostile_output", Class::Config,
            "give the stage an output inside the project";
        Self::Path { .. } => "pipeline::path", Class::Config,
            "write the path with `/`, relative to the working folder of the stage";
        Self::UnknownTarget { nearest, .. } => "pipeline::unknown_target", Class::NotFound,
            unknown_target(nearest.as_deref());
        Self::MissingParameters { .. } => "pipeline::missing_parameters", Class::NotFound,
            "add the parameters to the file, or remove them from `params` of the stage";
        Self::ForeignParameter { .. } => "pipeline::foreign_parameter", Class::Config,
            "use a string, a number, a boolean, a list or a mapping";
        Self::NoParameters { .. } => "pipeline::no_parameters", Class::Config,
            "give each value in the file a name";
        Self::Failed { .. } => "pipeline::failed", Class::Environment,
            "read the output of the commands, fix the cause, then reproduce again: successful stages are not rerun";
        Self::CommandFailed { .. } => "pipeline::command_failed", Class::Environment,
            "read its output and correct the command or its inputs; the previous outputs are unchanged";
        Self::CannotStart { .. } => "pipeline::cannot_start", Class::Environment,
            "check that the shell exists and is executable";
        Self::Shell { .. } => "pipeline::unsupported_shell", Class::Config,
            "use sh, bash, zsh, dash, ash or ksh";
        Self::NoFolder { .. } => "pipeline::no_folder", Class::NotFound,
            "create the folder, or correct `wdir` of the stage";
        Self::NotMade { .. } => "pipeline::not_made", Class::Config,
            "correct the command, or remove the output from the stage; paths are relative to its working folder";
        Self::MissingInputs { .. } => "pipeline::missing_inputs", Class::NotFound,
            "create or pull the files, or correct the stage";
        Self::RunRecord { .. } => "pipeline::run_record", Class::Integrity,
            "its folder contains the outputs from before the run: move them back, then remove the folder";
        Self::StageExists { .. } => "pipeline::stage_exists", Class::Conflict,
            "choose another name, or replace it with `stage add --force`";
        Self::Edit { .. } => "pipeline::edit", Class::Config,
            "edit the file manually; commands can only change stages written on separate lines";
        Self::Plot { .. } => "pipeline::plot", Class::Config,
            "correct the file, or the fields of the plot in dvc.yaml";
        Self::RunCacheEntry { .. } => "pipeline::run_cache_entry", Class::Integrity,
            "remove the entry; its result is recomputed when needed";
    }
}

impl PipelineError {
    /// A syntax error of a file.
    pub(crate) fn syntax(file: impl fmt::Display, problem: Problem) -> Self {
        Self::Syntax {
            spot: Spot::new(file, problem.line),
            reason: problem.reason,
        }
    }
}

fn unknown_variable(nearest: Option<&str>) -> String {
    let start = nearest.map_or_else(String::new, |name| format!("did you mean `${{{name}}}`? "));
    format!("{start}define it in params.yaml or `vars`, or write `\\${{` for a variable of the shell")
}

fn unknown_target(nearest: Option<&str>) -> String {
    match nearest {
        Some(name) => format!("did you mean `{name}`?"),
        None => "check the spelling; a target is a stage, a group, `group@key`, `path/dvc.yaml`, \
                 `path/dvc.yaml:stage` or a `.dvc` file"
            .to_owned(),
    }
}

fn in_file(file: Option<&str>) -> String {
    file.map_or_else(String::new, |file| format!(" in `{file}`"))
}

fn list(keys: &[String]) -> String {
    let noun = text::count(keys.len() as u64, "parameter");
    let shown: Vec<String> = keys.iter().take(5).map(|key| format!("`{key}`")).collect();
    let more = if keys.len() > shown.len() { ", ..." } else { "" };
    let noun = noun
        .split_once(' ')
        .map_or("parameter", |(_, noun)| noun)
        .to_owned();
    format!("{noun} {}{more}", shown.join(", "))
}
