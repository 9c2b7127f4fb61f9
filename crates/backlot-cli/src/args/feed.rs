//! The arguments of commands about events: listing and following them, hooks, and the inbox.

use std::time::Duration;

use backlot::EventCursor;
use clap::{Args, Subcommand};

/// How often to ask for new events.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Every {
    /// How many seconds to wait before asking for new events
    #[arg(long, value_name = "SECONDS", default_value_t = 2.0, value_parser = parse_seconds)]
    pub(crate) every: f64,
}

impl Every {
    pub(crate) fn pause(self) -> Duration {
        Duration::from_secs_f64(self.every)
    }
}

fn parse_seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.05..=86_400.0).contains(&seconds) => Ok(seconds),
        _ => Err("a number of seconds, from 0.05 to a day".to_owned()),
    }
}

/// Which events.
#[derive(Debug, Args)]
#[command(
    after_help = "Each repo that is a folder or a store keeps its events, in one order for all readers. To read on, give the cursor that --json prints;\nno event is missed, and none comes twice. Package indexes keep no events.\n\nTopics: release.created, release.approved, release.deprecated, release.yanked, release.unyanked, label.moved, label.removed,\ncascade.started, cascade.finished, cascade.reverted.\n\nExamples:\n  backlot events                                the last ones of each repo\n  backlot events review -f                      and new ones as they happen\n  backlot events review --since review:120 --json\n  backlot events --topic release.yanked --topic \"cascade.*\" --since 0\n  backlot events -f --json | jq -r '.package'   one line an event"
)]
pub(crate) struct EventsArgs {
    /// Only this repo [default: all that keep events]
    pub(crate) repo: Option<String>,
    /// Print new events as they happen
    #[arg(long, short)]
    pub(crate) follow: bool,
    /// Only events after this cursor; 0 is the beginning [default: the last ones]
    #[arg(long, value_name = "CURSOR")]
    pub(crate) since: Option<EventCursor>,
    /// The most events to print; without --since, of each repo
    #[arg(long, short = 'n', value_name = "N", default_value_t = 20, value_parser = parse_count)]
    pub(crate) limit: usize,
    /// Only events of this topic, or a pattern such as "release.*"
    #[arg(long = "topic", value_name = "TOPIC")]
    pub(crate) topics: Vec<String>,
    #[command(flatten)]
    pub(crate) every: Every,
}

fn parse_count(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count) if count > 0 => Ok(count),
        _ => Err("a number above 0".to_owned()),
    }
}

/// Hooks.
#[derive(Debug, Subcommand)]
pub(crate) enum HooksCommand {
    /// Tell hooks of events, until it is stopped
    #[command(
        after_help = "Hooks are declared in the user's configuration (config.toml, or the file that BACKLOT_CONFIG names), never in backlot.toml. A command gets\nthe event as JSON on its standard input and takes it by exiting with 0; it is not run by a shell. A URL gets it as a POST, signed\nas Standard Webhooks say, with the secret in BACKLOT_HOOK_<NAME>_SECRET or printed by `secret-command`. What fails is tried again,\nso an event may come twice, with the same id. A new hook is told of what happens from now on.\n\nExamples:\n  backlot hooks run                  until it is stopped\n  backlot hooks run --once           from cron: what happened since the last run\n  backlot hooks run chat --json      one line a delivery\n\n  # ~/.config/backlot/config.toml\n  [[hook]]\n  name = \"chat\"\n  topics = [\"release.created\", \"release.yanked\"]\n  url = \"https://hooks.studio.lan/backlot\"\n\n  [[hook]]\n  name = \"preview\"\n  repos = [\"review\"]\n  command = [\"/studio/bin/preview\", \"--queue\", \"night\"]"
    )]
    Run {
        /// Only these hooks [default: all]
        hooks: Vec<String>,
        /// Tell of what there is now, then exit
        #[arg(long)]
        once: bool,
        #[command(flatten)]
        every: Every,
    },
    /// List hooks, and how far each was told
    List,
    /// Tell a hook of a made-up event of the topic hook.test
    #[command(after_help = "Examples:\n  backlot hooks test chat")]
    Test {
        /// The hook
        hook: String,
    },
    /// Go past the next event of a hook without telling it
    #[command(
        after_help = "For an event that a hook will never take: hooks are told of events in order, so the ones after it wait.\n\nExamples:\n  backlot hooks skip chat --dry-run   show the event\n  backlot hooks skip chat"
    )]
    Skip {
        /// The hook
        hook: String,
        #[command(flatten)]
        dry: super::DryRun,
    },
}

/// What of the inbox to show.
#[derive(Debug, Args)]
#[command(
    after_help = "Of the packages in backlot.lock: versions that are newer than the one in use, what happened to the version in use, and moves of\nlabels that are followed. Of the outputs: cascades that could not build them. `*` marks what was not read before.\n\nExamples:\n  backlot inbox\n  backlot inbox --mark-read\n  backlot inbox --json | jq '.notices[] | select(.what == \"yanked\") | .package'"
)]
pub(crate) struct InboxArgs {
    /// Show what was read, too
    #[arg(long)]
    pub(crate) all: bool,
    /// Mark all of it read
    #[arg(long)]
    pub(crate) mark_read: bool,
}

/// Nothing to choose.
#[derive(Debug, Args)]
#[command(
    after_help = "What to do: `update` is what `backlot update NAME` takes; `held` has a newer version that a requirement holds back, see `backlot\noutdated`; `replace` is yanked or deprecated and no update helps. To pin an input: backlot install \"Table==1.2.0\"; to follow it again:\nbacklot install Table.\n\nExamples:\n  backlot inputs\n  backlot inputs --json | jq '.inputs[] | select(.action == \"update\") | .package'"
)]
pub(crate) struct InputsArgs {}
