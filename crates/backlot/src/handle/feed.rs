//! Events of repos: listing, following, hooks, and the inbox.
//!
//! Deliberately absent: how it is done; each method says what, and where.

use backlot_core::Context;

use crate::error::Result;
use crate::feed::cursor::EventCursor;
use crate::feed::events::{EventOptions, EventsReport, RepoEvent};
use crate::feed::hook::HookRow;
use crate::feed::inbox::{InboxOptions, InboxReport};
use crate::feed::running::{Delivery, HookOptions, HooksReport};
use crate::handle::Workspace;
use crate::handle::options::ChangeOptions;

impl Workspace {
    /// The events of repos after a cursor, or the last ones: releases that were created, approved, deprecated, yanked and unyanked.
    pub fn events(&self, options: &EventOptions, context: &Context) -> Result<EventsReport> {
        self.call("events", None, context, |workspace| workspace.events(options))
    }

    /// Tell of the last events, or of those after a cursor, and of all that come, until `tell` wants no more. Returns where to read on.
    pub fn follow_events(
        &self,
        options: &EventOptions,
        tell: &mut (dyn FnMut(&RepoEvent) -> bool + Send),
        context: &Context,
    ) -> Result<EventCursor> {
        self.call("follow_events", None, context, |workspace| {
            workspace.follow_events(options, tell)
        })
    }

    /// The hooks of the user's configuration, and their positions in the events of this workspace's repos.
    pub fn hooks(&self, context: &Context) -> Result<Vec<HookRow>> {
        self.call("hooks", None, context, |workspace| workspace.hooks())
    }

    /// Deliver events to hooks, and report each delivery to `told`, until `told` stops it; with `once`, only existing events. A failed delivery is not an error but
    /// in the report: it is retried.
    pub fn run_hooks(
        &self,
        options: &HookOptions,
        told: &mut (dyn FnMut(&Delivery) -> bool + Send),
        context: &Context,
    ) -> Result<HooksReport> {
        self.call("run_hooks", None, context, |workspace| {
            workspace.run_hooks(options, told)
        })
    }

    /// Tell a hook of an event of the topic `hook.test`, which is in no repo.
    pub fn test_hook(&self, name: &str, context: &Context) -> Result<Delivery> {
        self.call("test_hook", None, context, |workspace| workspace.test_hook(name))
    }

    /// Go past the next event of a hook without telling it. Returns that event, if there is one.
    pub fn skip_hook(
        &self,
        name: &str,
        options: &ChangeOptions,
        context: &Context,
    ) -> Result<Option<RepoEvent>> {
        self.call("skip_hook", None, context, |workspace| {
            workspace.skip_hook(name, options.dry_run)
        })
    }

    /// Unread events of the inputs of this workspace: newer versions, and versions in use that were yanked, deprecated or approved.
    pub fn inbox(&self, options: InboxOptions, context: &Context) -> Result<InboxReport> {
        self.call("inbox", None, context, |workspace| workspace.inbox(options))
    }
}
