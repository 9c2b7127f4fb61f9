//! Parts of farm jobs: pushed, listed, dropped.

use backlot::{
    ChangeOptions, Context, DropChoice, Error, PartState, Parts, PartsUsed, PushPart, Timestamp, text,
};

use crate::args::{AtRemote, Part};
use crate::host;
use crate::output::{Answer, columns, would};
use crate::session::Session;

pub(super) fn part(session: &Session, command: &Part) -> Result<Answer, Error> {
    match command {
        Part::Push {
            files,
            job,
            folder,
            node,
            at,
            dry,
        } => {
            let part = PushPart {
                files: files.iter().map(|file| session.here.join(file)).collect(),
                job: job.clone(),
                folder: folder.clone(),
                node: node.clone(),
                dry_run: dry.dry_run,
            };
            push(&open(session, at)?, &part, &session.context)
        }
        Part::List { job, at } => list(&open(session, at)?, job.as_deref(), &session.context),
        Part::Drop {
            job,
            node,
            part,
            at,
            dry,
        } => {
            let choice = match (part, node) {
                (Some(part), _) => DropChoice::Named(part.clone()),
                (None, Some(node)) => DropChoice::OfNode(node.clone()),
                (None, None) => DropChoice::All,
            };
            drop_parts(&open(session, at)?, job, &choice, dry.dry_run, &session.context)
        }
    }
}

fn open(session: &Session, at: &AtRemote) -> Result<Parts, Error> {
    let (remote, store) = if at.remote.is_some() {
        (at.remote.clone(), at.store.options())
    } else {
        host::part_remote(at.store.options())
    };
    Parts::find(
        remote.as_deref(),
        &store,
        &session.here,
        &session.workspace,
        &session.host,
    )
}

fn push(parts: &Parts, part: &PushPart, context: &Context) -> Result<Answer, Error> {
    let pushed = parts.push(part, context)?;
    let sent = if pushed.dry_run {
        String::new()
    } else {
        format!(
            ", {} new, {} sent",
            text::count(pushed.objects, "file"),
            text::bytes(pushed.sent)
        )
    };
    let lines = format!(
        "{}pushed a part of the job {}: {} of {} ({}{sent}) by {} to {}\n",
        would(pushed.dry_run),
        pushed.job,
        text::count(pushed.files, "file"),
        text::printable(pushed.folder.as_str()),
        text::bytes(pushed.bytes),
        pushed.node,
        pushed.remote
    );
    Ok(Answer::new(&pushed, lines))
}

fn list(parts: &Parts, job: Option<&str>, context: &Context) -> Result<Answer, Error> {
    let list = parts.list(job, context)?;
    let head = [
        "job", "part", "folder", "node", "user", "files", "bytes", "stored", "state",
    ];
    let mut rows: Vec<Vec<String>> = vec![head.iter().map(ToString::to_string).collect()];
    for row in &list.parts {
        let state = match row.state {
            PartState::Released => "released",
            PartState::Late => "late",
            _ => "waiting",
        };
        rows.push(vec![
            row.head.job.to_string(),
            row.part.to_string(),
            row.head.folder.to_string(),
            row.head.node.clone(),
            row.head.user.clone(),
            row.files.to_string(),
            text::bytes(row.bytes),
            row.stored
                .map_or_else(|| "-".to_owned(), |time| Timestamp(time).to_string()),
            state.to_owned(),
        ]);
    }
    let mut lines = if list.parts.is_empty() {
        "no parts\n".to_owned()
    } else {
        columns(&rows)
    };
    for release in &list.releases {
        lines.push_str(&format!(
            "{} was released as {} {} to {} by {}\n",
            release.job, release.package, release.version, release.repo, release.user
        ));
    }
    for damaged in &list.damaged {
        let (key, reason) = (text::printable(&damaged.key), text::printable(&damaged.reason));
        lines.push_str(&format!("cannot be read: {key}: {reason}\n"));
    }
    Ok(Answer::new(&list, lines))
}

fn drop_parts(
    parts: &Parts,
    job: &str,
    choice: &DropChoice,
    dry_run: bool,
    context: &Context,
) -> Result<Answer, Error> {
    let dropped = parts.drop_parts(job, choice, &ChangeOptions::new().dry_run(dry_run), context)?;
    let mut lines = String::new();
    for one in &dropped.dropped {
        if let Some(node) = &one.node {
            lines.push_str(&format!(
                "{}dropped a part of {node}: {}\n",
                would(dry_run),
                text::count(one.files, "file")
            ));
        } else {
            let key = text::printable(&one.key);
            lines.push_str(&format!("{}dropped {key}\n", would(dry_run)));
        }
    }
    if dropped.dropped.is_empty() {
        lines.push_str(&format!(
            "nothing to drop: {} has no such parts of {job}\n",
            dropped.remote
        ));
    }
    Ok(Answer::new(&dropped, lines))
}

/// The parts that a release was created from, for display.
pub(super) fn describe_used(used: &PartsUsed) -> String {
    let mut lines = format!(
        "from {} of the job {} by {}\n",
        text::count(used.parts.len() as u64, "part"),
        used.job,
        used.nodes.join(", ")
    );
    if used.overruled > 0 {
        lines.push_str(&format!(
            "{} of older parts had different contents and were skipped\n",
            text::count(used.overruled, "file")
        ));
    }
    for missing in &used.missing {
        lines.push_str(&format!(
            "missing: {} {} ({})\n",
            text::printable(&missing.sequence),
            missing.frames,
            text::count(missing.count, "frame")
        ));
    }
    lines
}
