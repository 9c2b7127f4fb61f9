//! Events of repos: list, follow, run hooks, and those of this workspace's inputs.

use std::io::Write as _;

use backlot::{
    Delivery, Error, EventOptions, EventsReport, HookOptions, HookRow, HooksReport, InboxOptions,
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
    let what = of.topic.strip_prefix("release.").unwrap_or(&of.topic);
    let mut who = of.author.clone();
    if !of.reason.is_empty() && of.reason != "manual" {
        who.push_str(&format!(": {}", of.reason));
    }
    vec![
        of.time.clone(),
        event.repo.clone(),
        what.to_owned(),
        format!("{} {}", of.package, of.version),
        who,
    ]
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
    if report.notices.iter().any(|notice| notice.what == "new-version") {
        text.push_str("`backlot outdated` shows available updates\n");
    }
    text
}

fn notice(notice: &Notice) -> Vec<String> {
    let of = &notice.event.event;
    let what = match notice.what.as_str() {
        "new-version" => format!("{} is available; {} is in use", of.version, notice.used),
        what => format!("{} is {what}", of.version),
    };
    let mut who = of.author.clone();
    if !of.reason.is_empty() && of.reason != "manual" {
        who.push_str(&format!(": {}", of.reason));
    }
    let mark = if notice.unread { "*" } else { "" };
    vec![
        mark.to_owned(),
        of.package.to_string(),
        what,
        notice.event.repo.clone(),
        who,
    ]
}
