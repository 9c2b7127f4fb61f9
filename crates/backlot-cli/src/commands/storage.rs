//! Maintenance of remotes: collect, restore, repair, and disk usage.

use backlot::{
    ChangeOptions, CollectOptions, CollectReport, Collected, DropOptions, DroppedRelease, Error, PassedOver,
    RepairOptions, text,
};

use crate::output::{Answer, would};
use crate::session::Session;

/// Objects that are listed one by one.
const SHOWN: usize = 20;

pub(super) fn collect(
    session: &Session,
    remote: Option<&str>,
    options: &CollectOptions,
    forget: &[String],
    drops: &DropOptions,
) -> Result<Answer, Error> {
    let collected = session
        .open()?
        .collect_remote(remote, options, forget, drops, &session.context)?;
    let report = &collected.report;
    let mut lines = format!(
        "remote {}: {} in {}\nkept for {} and {}: {}\n",
        collected.remote,
        text::bytes(report.bytes),
        text::count(report.packs, "pack"),
        text::count(collected.releases as u64, "release"),
        text::count(collected.workspaces.len() as u64, "workspace"),
        text::count(report.files_kept, "file"),
    );
    for repo in &collected.also_read {
        lines.push_str(&format!("kept for the releases of another repo: {repo}\n"));
    }
    for id in &collected.forgotten {
        lines.push_str(&format!("{}dropped the record {id}\n", would(options.dry_run)));
    }
    lines.push_str(&describe_passed_over(&collected.passed_over));
    for release in &collected.dropped {
        lines.push_str(&describe_dropped(release, options.dry_run));
    }
    if report.parts > 0 {
        let parts = text::count(report.parts, "part");
        lines.push_str(&format!("kept for farm jobs: {parts}\n"));
    }
    if !report.parts_dropped.is_empty() {
        let dropped = text::count(report.parts_dropped.len() as u64, "part");
        lines.push_str(&format!(
            "{}dropped {dropped} of farm jobs that are too old\n",
            would(options.dry_run)
        ));
    }
    lines.push_str(&describe_rewritten(report));
    describe(
        &mut lines,
        &format!("{}condemned", would(options.dry_run)),
        &report.condemned,
    );
    describe(&mut lines, "waiting for the grace period", &report.waiting);
    describe(
        &mut lines,
        &format!("{}deleted", would(options.dry_run)),
        &report.deleted,
    );
    if !report.spared.is_empty() {
        let spared = text::count(report.spared.len() as u64, "object");
        lines.push_str(&format!(
            "condemned but needed again: {spared}, stored again now or by the next collection\n"
        ));
    }
    if !report.condemned.is_empty() && !options.dry_run {
        lines.push_str(
            "condemned objects stay readable for the grace period: `backlot gc --remote --restore` undoes this, a later `backlot gc --remote` deletes them\n",
        );
    }
    Ok(Answer::new(&collected, lines))
}

/// A deprecated or yanked release, and what comes free.
fn describe_dropped(release: &DroppedRelease, dry_run: bool) -> String {
    let name = format!(
        "{} {} in {} ({}: {})",
        release.package,
        release.version,
        release.repo,
        release.status,
        text::printable(&release.reason)
    );
    if let Some(workspace) = &release.used_by {
        return format!("kept the files of {name}: used by {}\n", workspace.display());
    }
    let (files, bytes) = (text::count(release.files, "file"), text::bytes(release.bytes));
    format!("{}dropped {files} ({bytes}) of {name}\n", would(dry_run))
}

/// Objects rewritten so that their old form can be removed.
fn describe_rewritten(report: &CollectReport) -> String {
    let mut lines = format!("needed: {} in packs\n", text::bytes(report.needed_bytes));
    if report.rewritten > 0 {
        let packs = text::count(report.rewritten, "pack");
        lines.push_str(&if report.dry_run {
            format!("would rewrite {packs} that are small, contain unused data or are needed again\n")
        } else {
            let written = text::bytes(report.written_bytes);
            format!(
                "rewrote {packs} that were small, contained unused data or are needed again: {written} written\n"
            )
        });
    }
    if report.takes_most {
        lines
            .push_str("this would remove most of the remote's files and is refused without `--allow-most`\n");
    }
    lines
}

/// The repos that were not read, one a line.
pub(super) fn describe_passed_over(repos: &[PassedOver]) -> String {
    let line = |one: &PassedOver| format!("not read: the repo {}: {}\n", one.repo, one.reason);
    repos.iter().map(line).collect()
}

fn describe(lines: &mut String, what: &str, objects: &[Collected]) {
    if objects.is_empty() {
        return;
    }
    let bytes = objects.iter().map(|object| object.bytes).sum();
    lines.push_str(&format!(
        "{what}: {} ({})\n",
        text::count(objects.len() as u64, "object"),
        text::bytes(bytes)
    ));
    for object in objects.iter().take(SHOWN) {
        lines.push_str(&format!(
            "  {} {} {}\n",
            object.key,
            text::bytes(object.bytes),
            object.reason
        ));
    }
    if objects.len() > SHOWN {
        lines.push_str(&format!("  ... and {} more\n", objects.len() - SHOWN));
    }
}

pub(super) fn restore(session: &Session, remote: Option<&str>, dry_run: bool) -> Result<Answer, Error> {
    let report =
        session
            .open()?
            .restore_remote(remote, &ChangeOptions::new().dry_run(dry_run), &session.context)?;
    let mut lines = format!(
        "{}restored {}: {} ({}) can be read again\n",
        would(dry_run),
        text::count(report.restored.len() as u64, "condemned object"),
        text::count(report.files, "file"),
        text::bytes(report.bytes),
    );
    if !report.gone.is_empty() {
        let gone = text::count(report.gone.len() as u64, "object");
        lines.push_str(&format!(
            "already deleted, and lost unless pushed again: {gone}\n"
        ));
    }
    if !report.damaged.is_empty() {
        let damaged = text::count(report.damaged.len() as u64, "object");
        lines.push_str(&format!("damaged and still condemned: {damaged}\n"));
    }
    Ok(Answer::new(&report, lines))
}

fn repair_options(from: Option<&str>, dry_run: bool) -> RepairOptions {
    RepairOptions::new()
        .from(from.map(ToOwned::to_owned))
        .dry_run(dry_run)
}

pub(super) fn repair(
    session: &Session,
    remote: Option<&str>,
    from: Option<&str>,
    dry_run: bool,
) -> Result<Answer, Error> {
    let report = session
        .open()?
        .repair_remote(remote, &repair_options(from, dry_run), &session.context)?;
    let damaged = report.repaired.len() as u64 - report.absent;
    let mut done = Vec::new();
    if damaged > 0 || report.absent == 0 {
        done.push(format!("repaired {}", text::count(damaged, "object")));
    }
    if report.absent > 0 {
        let were = if report.absent == 1 { "was" } else { "were" };
        let absent = text::count(report.absent, "object");
        done.push(format!("stored {absent} that {were} not there"));
    }
    let mut lines = format!(
        "remote {}: {}{} ({}){}\n",
        report.remote,
        would(dry_run),
        done.join(" and "),
        text::bytes(report.bytes),
        match report.segments.len() as u64 {
            0 => String::new(),
            segments => format!(" and {}", text::count(segments, "segment")),
        }
    );
    lines.push_str(&describe_passed_over(&report.passed_over));
    for pack in &report.packs {
        lines.push_str(&format!("  damaged pack: {pack}\n"));
    }
    for segment in &report.segments {
        lines.push_str(&format!("  damaged segment: {segment}\n"));
    }
    for lost in &report.lost {
        lines.push_str(&format!(
            "  lost: {}, needed by {}\n",
            lost.object,
            lost.needed_by.join(", ")
        ));
    }
    let mut answer = Answer::new(&report, lines);
    if !report.lost.is_empty() {
        answer.failure = Some(Box::new(backlot::DamageFound {
            count: report.lost.len(),
            ways_out: ways_out_of_loss(&report.lost),
        }));
    }
    Ok(answer)
}

/// Advice for restoring lost files: from the outputs of this workspace, if they have them, or from elsewhere.
fn ways_out_of_loss(lost: &[backlot::LostObject]) -> Vec<String> {
    let mut paths: Vec<&str> = lost.iter().filter_map(|one| one.path.as_deref()).collect();
    paths.sort_unstable();
    paths.dedup();
    let add = match &paths[..] {
        [] => "`backlot add` in a workspace whose outputs have them, then `backlot repair` there".to_owned(),
        paths => {
            let more = match paths.len().saturating_sub(3) {
                0 => String::new(),
                more => format!(" (and {more} more)"),
            };
            let paths = paths.iter().take(3).copied().collect::<Vec<_>>().join(" ");
            format!(
                "run `backlot add {paths}`{more} to store those files as they are now, then run `backlot repair` again"
            )
        }
    };
    vec![
        add,
        "use `--from REMOTE` to restore from another remote".to_owned(),
    ]
}

pub(super) fn repair_repo(
    session: &Session,
    repo: &str,
    from: Option<&str>,
    dry_run: bool,
) -> Result<Answer, Error> {
    let report = session
        .open()?
        .repair_repo(repo, &repair_options(from, dry_run), &session.context)?;
    let mut lines = format!(
        "repo {}: {}restored {} ({}), {}rebuilt {}\n",
        report.repo,
        would(dry_run),
        text::count(report.restored.len() as u64, "file"),
        text::bytes(report.bytes),
        would(dry_run),
        text::count(report.mended.len() as u64, "derived file"),
    );
    for file in &report.restored {
        lines.push_str(&format!("  restored from {}: {}\n", file.from, file.file));
    }
    for file in &report.mended {
        lines.push_str(&format!("  mended: {file}\n"));
    }
    for file in &report.lost {
        lines.push_str(&format!("  lost: {}: {}\n", file.file, file.reason));
    }
    let mut answer = Answer::new(&report, lines);
    if !report.lost.is_empty() {
        answer.failure = Some(Box::new(backlot::DamageFound {
            count: report.lost.len(),
            ways_out: vec![
                "use `--from REPO` to restore from another repo; publish lost releases again under a new version"
                    .to_owned(),
            ],
        }));
    }
    Ok(answer)
}
