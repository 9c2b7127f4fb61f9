//! Options of a run.
//!
//! Deliberately absent: how commands are started ([`super::executor`]).

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use backlot_core::{Context, Sha256};
use backlot_store::{ObjectId, RunCacheLayout};

use super::super::{Output, Place, Reach, Selection, Stage};
use crate::error::Result;

/// Brings objects and results from elsewhere into the cache, for `--pull`.
pub trait Pull: Send + Sync + fmt::Debug {
    /// Bring those of the objects of an output that can be found. One that cannot is not an error.
    fn pull(&self, out: &Output, objects: &[ObjectId], context: &Context) -> Result<()>;
    /// Bring the results of a key into the run cache, without their objects. Returns how many are new.
    fn results(&self, stage: &Stage, layout: RunCacheLayout, key: &Sha256, context: &Context) -> Result<u64>;
}

/// Options of a run, as of `dvc repro` where it has them.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RunOptions {
    /// The targets; none stands for the `dvc.yaml` of the folder.
    pub targets: Vec<String>,
    /// The folder that targets are relative to.
    pub folder: Place,
    /// How far from the targets stages are taken.
    pub reach: Reach,
    /// Whether a target is a folder whose files, and those below, are meant.
    pub recursive: bool,
    /// Whether a target is a pattern of names.
    pub glob: bool,
    /// Run all selected stages, whatever their state.
    pub force: bool,
    /// Run what needs a stage that ran or was restored, though its content is the same.
    pub force_downstream: bool,
    /// After a failure, go on with all that does not need the failed stage.
    pub keep_going: bool,
    /// After a failure, accept the outputs of the stage as its result.
    pub ignore_errors: bool,
    /// Run nothing and say what would be done.
    pub dry: bool,
    /// Write the lock, but nothing into the cache.
    pub no_commit: bool,
    /// Run although the result is known.
    pub no_run_cache: bool,
    /// Take changed outputs of a stage of which nothing else changed as what it makes, as `dvc commit` does, and do not run it.
    pub record: bool,
    /// Take missing files as unchanged.
    pub allow_missing: bool,
    /// Where missing results are fetched from.
    pub pull: Option<Arc<dyn Pull>>,
    /// How many stages may run at a time; at least one does.
    pub jobs: usize,
    /// How many stages of a group (`meta: {backlot: {mutex: NAME}}`) may run at a time, where it is not one.
    pub capacities: BTreeMap<String, usize>,
    /// Longest time for the commands of one stage, where it has no own (`meta: {backlot: {time_limit: SECONDS}}`).
    pub time_limit: Option<Duration>,
    /// Variables for all commands.
    pub variables: Vec<(String, OsString)>,
    /// Folders to be first on the search path of commands.
    pub path: Vec<PathBuf>,
    /// Additional values that decide about results, such as versions of tools, by name.
    pub decides: BTreeMap<String, String>,
    /// Whether results are also written where DVC finds them.
    pub dvc_run_cache: bool,
    /// How long to wait for another run in the same project.
    pub patience: Duration,
}

impl Default for RunOptions {
    fn default() -> Self {
        Self {
            targets: Vec::new(),
            folder: Place::Root,
            reach: Reach::Needed,
            recursive: false,
            glob: false,
            force: false,
            force_downstream: false,
            keep_going: false,
            ignore_errors: false,
            dry: false,
            no_commit: false,
            no_run_cache: false,
            record: false,
            allow_missing: false,
            pull: None,
            jobs: backlot_core::pool::cores(),
            capacities: BTreeMap::new(),
            time_limit: None,
            variables: Vec::new(),
            path: Vec::new(),
            decides: BTreeMap::new(),
            dvc_run_cache: true,
            patience: Duration::from_mins(1),
        }
    }
}

/// Setters of fields that are taken as they are.
macro_rules! setters {
    ($($name:ident: $type:ty, $doc:literal;)*) => {
        impl RunOptions {
            $(#[doc = $doc]
            #[must_use]
            pub fn $name(mut self, $name: $type) -> Self {
                self.$name = $name;
                self
            })*
        }
    };
}

setters! {
    targets: Vec<String>, "The same with other targets.";
    folder: Place, "The same with another folder that targets are relative to.";
    reach: Reach, "The same with another reach.";
    recursive: bool, "The same; whether targets are folders.";
    glob: bool, "The same; whether targets are patterns.";
    force: bool, "The same; whether all is run.";
    force_downstream: bool, "The same; whether what is below a stage that ran is run.";
    keep_going: bool, "The same; whether to go on after a failure.";
    ignore_errors: bool, "The same; whether results of failed stages are taken.";
    dry: bool, "The same; whether nothing is run.";
    no_commit: bool, "The same; whether nothing is put into the cache.";
    no_run_cache: bool, "The same; whether known results are not asked for.";
    record: bool, "The same; whether changed outputs of a stage of which nothing else changed are what it makes.";
    allow_missing: bool, "The same; whether missing files are unchanged.";
    pull: Option<Arc<dyn Pull>>, "The same with another source of missing results.";
    jobs: usize, "The same with another number of stages at a time.";
    capacities: BTreeMap<String, usize>, "The same with other sizes of groups.";
    time_limit: Option<Duration>, "The same with another time limit.";
    variables: Vec<(String, OsString)>, "The same with other variables for commands.";
    path: Vec<PathBuf>, "The same with other folders on the search path.";
    decides: BTreeMap<String, String>, "The same with other things that decide about results.";
    dvc_run_cache: bool, "The same; whether DVC finds results, too.";
    patience: Duration, "The same with another patience.";
}

impl RunOptions {
    pub(super) fn selection(&self) -> Selection<'_> {
        Selection {
            targets: &self.targets,
            folder: self.folder.clone(),
            reach: self.reach,
            recursive: self.recursive,
            glob: self.glob,
        }
    }
}
