//! Events of repos: list, follow, run hooks, and those of this workspace's inputs.

use std::io::Write as _;

use backlot::{
    Delivery, Error, EventOptions, EventsReport, FeedEvent, HookOptions, HookRow, HooksReport, InboxOptions,
    InboxReport, Notice, RepoEvent, text,
};
use serde::Serialize;

use crate::args::{EventsArgs, HooksCommand, InboxArgs};
use crate::output::{Answer, columns};
use crate::session::Session;

pub(super) fn events(session: &Session, args: &EventsArgs) -> Result<Answer, Error> {
    let workspace = session.open()?;
    let options = EventOptions::new()
        .repo(args.repo.clone())
        .since(args.since.clone())
        .limit(args.limit)
        .topics(args.topics.clone())
        .every(args.every.pause());
    if !args.follow {
        return Ok(list(&workspace.events(&options, &session.context)?));
    }
    let mut tell = |event: &RepoEvent| print(session, event, &line_of(event));
    workspace.follow_events(&options, &mut tell, &session.context)?;
    Ok(Answer::exit(0))
}

fn list(report: &EventsReport) -> Answer {
    let rows: Vec<Vec<String>> = report.events.iter().map(cells).collect();
    let mut text = columns(&rows);
    if report.events.is_empty() {
        "no events".clone_into(&mut text);
    } else if report.more {
        text.push_str(&format!("there may be more: --since {}\n", report.cursor));
    }
    Answer::new(report, text)
}

/// An event in columns: when, where, what, which release, who and why.
fn cells(event: &RepoEvent) -> Vec<String> {
    let of = &event.event;
    // What the topic is about is in the next column.
    let what = of
        .topic
        .split_once('.')
        .map_or(of.topic.as_str(), |(_, what)| what);
    vec![
        of.time.clone(),
        event.repo.clone(),
        what.to_owned(),
        subject(of),
        who(of),
    ]
}

/// Who and why.
fn who(event: &FeedEvent) -> String {
    let mut who = event.author.clone();
    if !event.reason.is_empty() && event.reason != "manual" {
        who.push_str(&format!(": {}", event.reason));
    }
    who
}

/// The release, label or cascade that an event is about.
fn subject(event: &FeedEvent) -> String {
    let release = format!("{} {}", event.package, event.version);
    if let Some(cascade) = &event.cascade {
        let outcome = match event.ending.as_deref() {
            None | Some("done") => String::new(),
            Some("waiting") => " waits for a person".to_owned(),
            Some(ending) => format!(" {ending}"),
        };
        let counts: Vec<String> = event
            .counts
            .iter()
            .map(|(what, count)| format!("{count} {what}"))
            .collect();
        return format!("cascade {cascade} of {release}{outcome}: {}", counts.join(", "));
    }
    match (&event.label, &event.from) {
        (Some(label), Some(from)) if *from != event.version => {
            format!("{} @{label} {from} -> {}", event.package, event.version)
        }
        (Some(label), _) => format!("{} @{label} {}", event.package, event.version),
        (None, _) => release,
    }
}

fn line_of(event: &RepoEvent) -> String {
    let cells: Vec<String> = cells(event).iter().map(|cell| text::printable(cell)).collect();
    cells.join("  ").trim_end().to_owned()
}

/// Print what happened while the command runs, as a line; whether there is a reader.
fn print(session: &Session, report: &impl Serialize, words: &str) -> bool {
    let line = if session.json {
        serde_json::to_string(report).ok()
    } else {
        Some(text::sanitize(words)).filter(|_| !session.quiet)
    };
    let Some(line) = line else {
        return true;
    };
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).is_ok()
}

pub(super) fn hooks(session: &Session, command: &HooksCommand) -> Result<Answer, Error> {
    let (workspace, context) = (session.open()?, &session.context);
    match command {
        HooksCommand::Run { hooks, once, every } => {
            let options = HookOptions::new()
                .hooks(hooks.clone())
                .once(*once)
                .every(every.pause());
            let mut told = |delivery: &Delivery| print(session, delivery, &delivery_words(delivery));
            Ok(ran(&workspace.run_hooks(&options, &mut told, context)?))
        }
        HooksCommand::List => Ok(hook_list(&workspace.hooks(context)?)),
        HooksCommand::Test { hook } => {
            let delivery = workspace.test_hook(hook, context)?;
            let text = format!("{hook} accepted the event {}", delivery.delivery);
            Ok(Answer::new(&delivery, text))
        }
        HooksCommand::Skip { hook, dry } => {
            let skipped = workspace.skip_hook(hook, &dry.changes(), context)?;
            let text = match &skipped {
                Some(event) if dry.dry_run => format!("{hook} would skip: {}", line_of(event)),
                Some(event) => format!("{hook} skipped: {}", line_of(event)),
                None => format!("no pending event for {hook}"),
            };
            let json = serde_json::json!({ "hook": hook, "skipped": skipped, "dry_run": dry.dry_run });
            Ok(Answer::new(&json, text))
        }
    }
}

fn delivery_words(delivery: &Delivery) -> String {
    let event = line_of(&delivery.event);
    match &delivery.error {
        None => format!("{}: {event}", delivery.hook),
        Some(error) => format!("{}: failed ({error}): {event}", delivery.hook),
    }
}

fn ran(report: &HooksReport) -> Answer {
    let rows: Vec<Vec<String>> = report
        .hooks
        .iter()
        .map(|run| {
            let taken = text::count(run.delivered, "event");
            let waiting = run.waiting.as_ref().map(|why| format!("waiting: {why}"));
            vec![run.hook.clone(), taken, waiting.unwrap_or_default()]
        })
        .collect();
    let mut answer = Answer::new(report, columns(&rows));
    answer.failure = report.failure().map(|failure| Box::new(failure) as _);
    answer
}

fn hook_list(hooks: &[HookRow]) -> Answer {
    let list = |all: &[String]| {
        if all.is_empty() {
            "all".to_owned()
        } else {
            all.join(" ")
        }
    };
    let rows: Vec<Vec<String>> = hooks
        .iter()
        .map(|hook| {
            let cursor = hook.cursor.as_ref().map(ToString::to_string);
            vec![
                hook.name.clone(),
                hook.kind.clone(),
                list(&hook.topics),
                list(&hook.repos),
                cursor.unwrap_or_else(|| "never run".to_owned()),
                hook.target.clone(),
            ]
        })
        .collect();
    let text = if hooks.is_empty() {
        "no hooks; `backlot help hooks run` shows how to declare one".to_owned()
    } else {
        columns(&rows)
    };
    Answer::new(&serde_json::json!({ "hooks": hooks }), text)
}

pub(super) fn inbox(session: &Session, args: &InboxArgs) -> Result<Answer, Error> {
    let options = InboxOptions::new().all(args.all).mark_read(args.mark_read);
    let report = session.open()?.inbox(options, &session.context)?;
    Ok(Answer::new(&report, inbox_text(&report)))
}

fn inbox_text(report: &InboxReport) -> String {
    if report.notices.is_empty() {
        return "nothing new".to_owned();
    }
    let rows: Vec<Vec<String>> = report.notices.iter().map(notice).collect();
    let mut text = columns(&rows);
    let is_newer = |what: &str| matches!(what, "new-version" | "label-moved");
    if report.notices.iter().any(|notice| is_newer(&notice.what)) {
        text.push_str("`backlot outdated` shows available updates\n");
    }
    text
}

fn notice(notice: &Notice) -> Vec<String> {
    let of = &notice.event.event;
    let label = of.label.as_deref().unwrap_or("latest-approved");
    let what = match notice.what.as_str() {
        "new-version" => format!("{} is available; {} is in use", of.version, notice.used),
        "label-moved" => format!("@{label} is {}; {} is used here", of.version, notice.used),
        "label-removed" => format!("@{label} was removed; {} is used here", notice.used),
        "cascade-failed" => {
            let cascade = of.cascade.as_deref().unwrap_or_default();
            format!(
                "was not built in cascade {cascade} of {} {}",
                of.package, of.version
            )
        }
        what => format!("{} is {what}", of.version),
    };
    let mark = if notice.unread { "*" } else { "" };
    vec![
        mark.to_owned(),
        notice.asset.to_string(),
        what,
        notice.event.repo.clone(),
        who(of),
    ]
}
