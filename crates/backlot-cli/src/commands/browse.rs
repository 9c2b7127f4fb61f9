//! Looking, and proving.

use backlot::{
    AssetProblem, AssetsLeftOut, BaseState, Change, Error, ObjectReport, OutStatus, OutputStatus, PackageRow,
    Query, ReleaseDetail, RepoReport, StageStatus, VerifyOptions, text,
};

use crate::errors::for_people;
use crate::output::{Answer, columns};
use crate::session::Session;

pub(super) fn status(session: &Session) -> Result<Answer, Error> {
    let report = session.open()?.status(&session.context)?;
    let mut lines = format!("workspace {}\n", report.root.display());
    lines.push_str(&format!("repos     {}\n", or_none(&report.repos.join(", "))));
    lines.push_str(&format!(
        "remote    {}\n",
        report.remote.as_deref().unwrap_or("none")
    ));
    lines.push_str("\noutputs\n");
    for output in &report.outputs {
        let published = if output.published_in.is_empty() {
            "not published".to_owned()
        } else {
            format!("published in {}", output.published_in.join(", "))
        };
        lines.push_str(&format!("  {} {} ({published})\n", output.name, output.version));
        lines.push_str(&standing(output));
        for input in &output.inputs {
            lines.push_str(&format!("    requires {}\n", input.requirement));
        }
        lines.push_str(&outs(&output.outs, false));
        for one in &output.untracked {
            let (files, bytes) = (text::count(one.files, "file"), text::bytes(one.bytes));
            lines.push_str(&format!(
                "    untracked: {} ({files}, {bytes}); `backlot add {}` tracks it\n",
                one.path, one.path
            ));
        }
    }
    if report.outputs.is_empty() {
        lines.push_str("  none; create one with `backlot new NAME`\n");
    }
    lines.push_str("\ninputs\n");
    for input in report.inputs.iter().filter(|i| i.editable.is_none()) {
        let asked = if input.requested { "" } else { ", needed by others" };
        let origin = input
            .repo
            .as_deref()
            .or(input.url.as_deref())
            .unwrap_or("elsewhere");
        lines.push_str(&format!(
            "  {} {} (from {origin}{asked})\n",
            input.name, input.version
        ));
        lines.push_str(&outs(&input.outs, true));
    }
    if !report.inputs.iter().any(|i| i.editable.is_none()) {
        lines.push_str("  none; install one with `backlot install NAME`\n");
    }
    lines.push_str(&stages(&report.stages));
    lines.push_str(&left_out(&report.problems));
    let mut answer = Answer::new(&report, lines);
    answer.failure = AssetsLeftOut::of(&report.problems).map(|failure| Box::new(failure) as _);
    Ok(answer)
}

/// The stages of pipelines that are not up to date, and how many are.
fn stages(stages: &[StageStatus]) -> String {
    if stages.is_empty() {
        return String::new();
    }
    let open: Vec<&StageStatus> = stages.iter().filter(|one| !one.state.is_settled()).collect();
    let row = |one: &&StageStatus| {
        let why = one.why.first().cloned();
        let why = why.or_else(|| one.because.first().map(|name| format!("because of {name}")));
        let state = one.state.as_str();
        let told = why.map_or_else(|| state.to_owned(), |why| format!("{state}: {why}"));
        vec![format!("  {}", one.stage), told]
    };
    let mut lines = "\nstages\n".to_owned();
    lines.push_str(&columns(&open.iter().map(row).collect::<Vec<_>>()));
    let settled = text::count((stages.len() - open.len()) as u64, "stage");
    lines.push_str(&format!("  {settled} up to date\n"));
    if !open.is_empty() {
        lines.push_str("  run `backlot repro` to update the others\n");
    }
    lines
}

/// Assets that could not be read.
pub(super) fn left_out(problems: &[AssetProblem]) -> String {
    let mut lines = String::new();
    for problem in problems {
        lines.push_str(&format!("\nleft out  {}: {}\n", problem.asset, problem.message));
        if let Some(help) = &problem.help {
            lines.push_str(&format!("          {}\n", for_people(help)));
        }
    }
    lines
}

/// How an output stands to the releases of its package, and the command that comes next.
fn standing(output: &OutputStatus) -> String {
    let base = &output.base;
    let name = &output.name;
    let from = base.base.as_ref().map(ToString::to_string).unwrap_or_default();
    let count = base.changes.new + base.changes.changed + base.changes.gone;
    let some: Vec<&str> = base.changes.names.iter().take(3).map(String::as_str).collect();
    let more = if count > some.len() as u64 { " ..." } else { "" };
    let changes = format!("{} ({}{more})", text::count(count, "change"), some.join(" "));
    let newer = base.newer.as_ref().map(|newer| {
        let author = newer.author.as_ref().map(|author| format!(" by {author}"));
        format!(
            "{} in {}{}",
            newer.version,
            newer.repo,
            author.unwrap_or_default()
        )
    });
    let newer = newer.unwrap_or_default();
    match base.state {
        BaseState::Unpublished => String::new(),
        BaseState::Unchanged => format!("    unchanged since {from}\n"),
        BaseState::Ahead if base.base.as_ref() == Some(&output.version) => {
            format!("    ahead of {from}: {changes}; `backlot bump {name} micro`, then publish\n")
        }
        BaseState::Ahead => format!("    ahead of {from}: {changes}\n"),
        BaseState::Behind => {
            format!(
                "    behind: edited from {from}, but {newer} exists; run `backlot edit {name} --rebase`\n"
            )
        }
        BaseState::Diverged if from.is_empty() => {
            format!(
                "    diverged: not edited from a release, but {newer} exists; run `backlot edit {name} --rebase`\n"
            )
        }
        BaseState::Diverged => {
            format!(
                "    diverged: edited from {from}, {changes}, but {newer} exists; run `backlot edit {name} --rebase`\n"
            )
        }
        _ => "    cannot determine whether a newer release exists\n".to_owned(),
    }
}

fn or_none(text: &str) -> &str {
    if text.is_empty() { "none" } else { text }
}

/// The tracked files of an output, or of an `installed` input, which is not edited in place.
fn outs(outs: &[OutStatus], installed: bool) -> String {
    let rows: Vec<Vec<String>> = outs
        .iter()
        .map(|out| vec![format!("    {}", out.path), describe(out, installed)])
        .collect();
    columns(&rows)
}

fn describe(out: &OutStatus, installed: bool) -> String {
    match &out.change {
        Change::NoContent if out.stage.is_some() => "not produced yet; run `backlot repro`".to_owned(),
        Change::NotInCache | Change::NoManifest if out.stage.is_some() && !installed => {
            "not in the cache; run `backlot repro`".to_owned()
        }
        Change::Unchanged if !out.cached && !installed => {
            "unchanged; `cache: false`: stored in the wheel".to_owned()
        }
        Change::Unchanged => "unchanged".to_owned(),
        Change::Missing if !out.cached => "missing; `cache: false`: a pull does not fetch it".to_owned(),
        Change::NotPulled | Change::Missing if !out.pushed => {
            "missing; `push: false`: a pull can fetch it only if it is on the remote anyway".to_owned()
        }
        Change::NotInCache if installed => "not in the cache; `backlot pull` fetches it".to_owned(),
        Change::NotPulled => "not pulled; `backlot pull` fetches it".to_owned(),
        Change::Partial { absent } => format!("unchanged; {absent} not pulled"),
        Change::Missing => "missing; `backlot pull` fetches it".to_owned(),
        Change::NoContent => "its pointer has no content; run `backlot add` to record it".to_owned(),
        Change::NoManifest => {
            "its previous content is unknown here; run `backlot pull` to fetch it".to_owned()
        }
        Change::NotInCache => "not in the cache; `backlot add` stores it".to_owned(),
        Change::Modified {
            added,
            removed,
            changed,
            absent,
            names,
        } => {
            let all = [
                (*added, "new"),
                (*changed, "changed"),
                (*removed, "gone"),
                (*absent, "not pulled"),
            ];
            let counts: Vec<String> = all
                .iter()
                .filter(|(n, _)| *n > 0)
                .map(|(n, word)| format!("{n} {word}"))
                .collect();
            let folded = super::assets::folded(names);
            let some = folded.iter().take(3).cloned().collect::<Vec<_>>().join(" ");
            let is_more = folded.len() > 3 || (names.len() as u64) < added + removed + changed;
            format!(
                "{} ({some}{})",
                counts.join(", "),
                if is_more { " ..." } else { "" }
            )
        }
    }
}

pub(super) fn search(session: &Session, query: &Query, repo: Option<&str>) -> Result<Answer, Error> {
    let rows = session.open()?.search(query, repo, &session.context)?;
    let table: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            vec![
                row.name.clone(),
                row.latest.to_string(),
                row.repo.clone(),
                marks(row),
                row.asset_type.clone().unwrap_or_default(),
                row.tags.join(","),
                row.summary.clone().unwrap_or_default(),
            ]
        })
        .collect();
    let text = if table.is_empty() {
        "nothing found".to_owned()
    } else {
        columns(&table)
    };
    Ok(Answer::new(&serde_json::json!({ "packages": rows }), text))
}

/// The status of a package's newest release, in words.
fn marks(row: &PackageRow) -> String {
    let mut marks = Vec::new();
    if row.yanked.contains(&row.latest) {
        marks.push("yanked");
    }
    if row.deprecated.is_some() {
        marks.push("deprecated");
    }
    if !row.approved.is_empty() {
        marks.push("approved");
    }
    marks.join(",")
}

pub(super) fn show(session: &Session, release: &str) -> Result<Answer, Error> {
    let details = session.open()?.show(release, &session.context)?;
    let text = details.iter().map(detail).collect::<Vec<_>>().join("\n");
    Ok(Answer::new(&serde_json::json!({ "releases": details }), text))
}

fn detail(detail: &ReleaseDetail) -> String {
    let name = detail
        .asset
        .as_ref()
        .map_or_else(|| detail.package.to_string(), |a| a.name.clone());
    let mut lines = format!("{name} {} in {}\n", detail.version, detail.repo);
    if let Some(asset) = &detail.asset {
        let tags = if asset.tags.is_empty() {
            String::new()
        } else {
            format!(", tags {}", asset.tags.join(", "))
        };
        lines.push_str(&format!("  type      {}{tags}\n", asset.asset_type));
    }
    if let Some(summary) = &detail.summary {
        lines.push_str(&format!("  summary   {summary}\n"));
    }
    for requirement in &detail.requires {
        lines.push_str(&format!("  requires  {}\n", requirement.requirement));
    }
    lines.push_str(&format!(
        "  wheel     {} ({})\n",
        detail.wheel,
        detail
            .wheel_size
            .map_or_else(|| "size unknown".to_owned(), text::bytes)
    ));
    if let Some(provenance) = &detail.provenance {
        for out in &provenance.outs {
            let size = text::bytes(out.size);
            lines.push_str(&format!(
                "  files     {} ({}, {size})\n",
                out.path,
                text::count(out.files, "file")
            ));
        }
        for (input, version) in &provenance.inputs {
            lines.push_str(&format!("  built with {input} {version}\n"));
        }
    }
    let status = &detail.status;
    let facts = [
        ("published", status.published.as_slice()),
        ("approved", status.approved.as_slice()),
        ("deprecated", status.deprecated.as_slice()),
        ("yanked", status.yanked.as_slice()),
        ("no files", status.dropped.as_slice()),
    ];
    for (what, facts) in facts {
        for fact in facts {
            lines.push_str(&super::releases::said(what, fact));
            for check in &fact.checks {
                lines.push_str(&super::releases::checked(check));
            }
        }
    }
    for remote in status.published.iter().flat_map(|fact| &fact.remotes) {
        let (name, url) = (text::printable(&remote.name), text::printable(&remote.url));
        lines.push_str(&format!("  stored on {name}: {url}\n"));
    }
    let versions: Vec<String> = detail.versions.iter().map(ToString::to_string).collect();
    lines.push_str(&format!("  versions  {}\n", versions.join(", ")));
    lines
}

pub(super) fn verify(session: &Session, mut options: VerifyOptions) -> Result<Answer, Error> {
    if !options.cache && !options.remote && !options.inputs && !options.repos {
        (options.cache, options.remote, options.inputs) = (true, true, true);
    }
    let report = session.open()?.verify(&options, &session.context)?;
    let mut lines = super::storage::describe_passed_over(&report.passed_over);
    let remotes = report.remote.iter().chain(&report.other_remotes);
    for objects in report.cache.iter().chain(remotes) {
        lines.push_str(&describe_objects(objects));
    }
    if let Some(unpacked) = &report.unpacked {
        lines.push_str(&format!(
            "{} unpacked in the cache{}\n",
            text::count(unpacked.wheels, "wheel"),
            if unpacked.damaged.is_empty() {
                ", no damage"
            } else {
                ""
            }
        ));
        for wheel in &unpacked.damaged {
            lines.push_str(&format!("  damaged: {wheel}\n"));
        }
    }
    let tracked = format!("{} of inputs", text::count(report.tracked_files, "tracked file"));
    for (what, packages) in [("inputs", &report.inputs), (tracked.as_str(), &report.tracked)] {
        if packages.as_ref().is_some_and(Vec::is_empty) {
            lines.push_str(&format!("{what}: no damage\n"));
        }
        for package in packages.iter().flatten() {
            for file in &package.files {
                let kind = format!("{:?}", file.kind).to_lowercase();
                lines.push_str(&format!(
                    "{what}: {} of {} is {kind}\n",
                    file.path, package.package
                ));
            }
        }
    }
    for repo in &report.repos {
        lines.push_str(&describe_repo(repo));
    }
    if report.not_pushed > 0 {
        lines.push_str(&format!(
            "{} of outputs not pushed yet: they are only in the cache; `backlot push` or a publish sends them\n",
            text::count(report.not_pushed, "object")
        ));
    }
    lines.push_str(&left_out(&report.problems));
    let mut answer = Answer::new(&report, lines);
    answer.failure = AssetsLeftOut::of(&report.problems).map(|failure| Box::new(failure) as _);
    if report.damage() > 0 {
        answer.failure = Some(Box::new(backlot::DamageFound {
            count: report.damage(),
            ways_out: report.ways_out(),
        }));
    }
    Ok(answer)
}

fn describe_repo(report: &RepoReport) -> String {
    let sound = report.damaged.is_empty() && report.stale.is_empty();
    let mut lines = format!(
        "repo {}: {} read ({}){}\n",
        report.repo,
        text::count(report.files, "file"),
        text::bytes(report.bytes),
        if sound { ", no damage" } else { "" }
    );
    for one in &report.damaged {
        lines.push_str(&format!("  damaged: {}: {}\n", one.file, one.reason));
    }
    for one in &report.stale {
        lines.push_str(&format!("  stale: {one}\n"));
    }
    lines
}

fn describe_objects(report: &ObjectReport) -> String {
    let mut lines = format!(
        "{}: {} read ({})",
        report.place,
        text::count(report.objects, "object"),
        text::bytes(report.bytes)
    );
    let sound = report.damaged.is_empty() && report.missing.is_empty() && report.packs.is_empty();
    lines.push_str(if sound && report.segments.is_empty() {
        ", no damage\n"
    } else {
        "\n"
    });
    for pack in &report.packs {
        let affected = text::count(pack.objects.len() as u64, "object");
        lines.push_str(&format!(
            "  damaged pack: {} ({}), affects {affected}\n",
            pack.key, pack.reason
        ));
    }
    for segment in &report.segments {
        lines.push_str(&format!("  damaged segment: {segment}\n"));
    }
    for (what, objects) in [("damaged", &report.damaged), ("missing", &report.missing)] {
        for object in objects {
            let by = if object.needed_by.is_empty() {
                String::new()
            } else {
                format!(", needed by {}", object.needed_by.join(", "))
            };
            lines.push_str(&format!("  {what}: {}{by}\n", object.object));
        }
    }
    lines
}

pub(super) fn gc(session: &Session) -> Result<Answer, Error> {
    let report = session.open()?.plan_gc(&session.context)?;
    let mut lines = format!(
        "cache {}\nkept for {}: {}\n",
        report.cache.display(),
        text::count(report.workspaces.len() as u64, "workspace"),
        text::count(report.kept as u64, "object")
    );
    for object in report.unreferenced.iter().take(20) {
        lines.push_str(&format!("  {} {}\n", object.object, text::bytes(object.size)));
    }
    if report.unreferenced.len() > 20 {
        lines.push_str(&format!("  ... and {} more\n", report.unreferenced.len() - 20));
    }
    lines.push_str(&format!(
        "unneeded: {} ({})\n",
        text::count(report.unreferenced.len() as u64, "object"),
        text::bytes(report.bytes)
    ));
    Ok(Answer::new(&report, lines))
}
