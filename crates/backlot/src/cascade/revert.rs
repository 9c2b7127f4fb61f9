//! Undoing a cascade: its releases are yanked, those first that nothing of it is built from, and what it began with last.
//!
//! Invariants: doing it twice changes nothing more; nobody's release is yanked but those of the cascade and its roots; one that is not finished is
//! cancelled first; what takes their place is there before they are yanked. Deliberately absent: how old content gets a higher version (`forward`).

use backlot_cascade::control::{Request, request};
use backlot_cascade::{Journal as _, RevertPlan, RunState, plan_revert};
use backlot_core::options;
use backlot_repo::StatusChange;
use serde::{Deserialize, Serialize};

use crate::cascade::known::ending_of;
use crate::cascade::ledger::RepoJournal;
use crate::error::Result;
use crate::workspace::Opened;

options! {
    /// How to undo a cascade.
    #[derive(Default)]
    pub struct RevertOptions {
        /// Why, for the record.
        pub message: Option<String>,
        /// Leave the releases that it began with.
        pub keep_roots: bool,
        /// Publish the content of before again with higher versions first, for users that never go back to a lower one.
        pub forward: bool,
        /// Yank nothing; of use only with `forward`.
        pub no_yank: bool,
        /// Change nothing.
        pub dry_run: bool,
    }
}

/// A cascade that was undone, or would be.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RevertReport {
    /// What was yanked in which order, who stays on it, and who published on top.
    #[serde(flatten)]
    pub plan: RevertPlan,
    /// Whether it had steps left, and was cancelled.
    pub cancelled: bool,
    /// Whether its releases are left as they are, with higher ones in their place.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub no_yank: bool,
    /// Whether nothing was changed.
    pub dry_run: bool,
}

impl Opened {
    pub(crate) fn revert_cascade(&self, id: &str, options: &RevertOptions) -> Result<RevertReport> {
        let (repo, id) = self.find_cascade(Some(id))?;
        let journal = RepoJournal::new(self.ledger(&repo)?, &id);
        let state = RunState::from_entries(&journal.load(0)?.entries)?;
        let unfinished = state.cancelled().is_none()
            && ending_of(&state, self.context().now()) != Some(backlot_cascade::Ending::Done);
        if unfinished && !options.dry_run {
            let reason = Request::Cancel("it is reverted".to_owned());
            request(
                &journal,
                &state,
                &self.settings().author.value,
                reason,
                self.context(),
            )?;
            self.tell_end_of(&repo, &RunState::from_entries(&journal.load(0)?.entries)?);
        }
        let roots = if options.keep_roots {
            Vec::new()
        } else {
            state.plan().roots.clone()
        };
        let mut plan = plan_revert(&self.studio()?.catalog, &id, &roots, options.forward)?;
        self.name_authors(&mut plan)?;
        if !options.dry_run {
            let why = options.message.as_deref().map(|why| format!(": {why}"));
            let reason = format!("cascade {id} was reverted{}", why.unwrap_or_default());
            if options.forward {
                self.publish_forward(&id, &roots, &reason)?;
            }
            let left = plan.steps.iter_mut().filter(|step| !step.done);
            for step in left.filter(|_| !options.no_yank) {
                self.context().check()?;
                let release = format!("{}=={}", step.node.package, step.version);
                let repo = Some(step.node.repo.as_str());
                self.set_status(&release, repo, StatusChange::Yank, &reason, false)?;
                step.done = true;
            }
            self.tell_reverted(&repo, state.plan(), &plan, options.message.as_deref());
        }
        Ok(RevertReport {
            plan,
            cancelled: unfinished,
            no_yank: options.no_yank,
            dry_run: options.dry_run,
        })
    }

    /// Say who published on top.
    fn name_authors(&self, plan: &mut RevertPlan) -> Result<()> {
        for on_top in &mut plan.on_top {
            let repo = self.open_repo(self.repo_entry(on_top.node.repo.as_str())?)?;
            let release = repo.release(&on_top.node.package, &on_top.version, self.context())?;
            if let Some(published) = repo.status(&release)?.published {
                on_top.author = published.author;
            }
        }
        Ok(())
    }
}
