//! Workspaces, repos and remotes.

use std::path::Path;

use backlot::text::count;
use backlot::{
    AddRemote, AddRepo, AllowReport, AllowedName, Error, InitOptions, PlaceProblem, RemoteStatus, RepoPlace,
    RepoStatus, Workspace,
};

use crate::args::{Remote, Repo};
use crate::output::{Answer, columns, would};
use crate::session::Session;

pub(super) fn init(
    session: &Session,
    dir: Option<&Path>,
    python: Option<&str>,
    cache: Option<&str>,
    dry_run: bool,
) -> Result<Answer, Error> {
    let root = dir.map_or_else(|| session.workspace.clone(), |dir| session.here.join(dir));
    let options = InitOptions::new()
        .python(python.map(ToOwned::to_owned))
        .cache(cache.map(ToOwned::to_owned))
        .dry_run(dry_run);
    let (_, report) = Workspace::init(&root, &options, &session.host, &session.context)?;
    let text = format!(
        "{}created the workspace `{}`\nnext: backlot repo add review PATH, backlot remote add main PATH, backlot new NAME",
        would(dry_run),
        report.root.display()
    );
    Ok(Answer::new(&report, text))
}

pub(super) fn repo(session: &Session, command: &Repo) -> Result<Answer, Error> {
    let workspace = session.open()?;
    match command {
        Repo::Add {
            name,
            place,
            blessed,
            publish,
            upload,
            store,
            public,
            allow,
            create,
            base,
            dry,
        } => {
            let options = AddRepo::new()
                .blessed(*blessed)
                .publish_to(*publish)
                .upload(upload.clone())
                .store(store.options())
                .public(public.then(|| allow.clone()))
                .create(create.then(|| base.clone()))
                .dry_run(dry.dry_run);
            let place = relative_to_workspace(session, &workspace, place);
            let status = workspace.add_repo(name, &place, &options, &session.context)?;
            let made = made_or_found("repo", status.created, dry.dry_run);
            let text = format!(
                "{}added the repo {}{made}",
                would(dry.dry_run),
                describe_repo(&status)
            );
            Ok(Answer::new(&status, text))
        }
        Repo::List => {
            let all = workspace.list_repos(&session.context)?;
            let rows: Vec<Vec<String>> = all.iter().map(repo_row).collect();
            let text = if rows.is_empty() {
                "no repos; add one with `backlot repo add NAME PATH`".to_owned()
            } else {
                columns(&rows) + &problems(all.iter().map(|repo| (&repo.name, &repo.problem)))
            };
            Ok(Answer::new(&serde_json::json!({ "repos": all }), text))
        }
        Repo::Allow {
            name,
            packages,
            remove,
            dry,
        } => {
            let changes = dry.changes();
            let report = if *remove {
                workspace.disallow(name, packages, &changes, &session.context)?
            } else {
                workspace.allow(name, packages, &changes, &session.context)?
            };
            let text = format!("{}{}", would(dry.dry_run), describe_list(&report));
            Ok(Answer::new(&report, text))
        }
        Repo::Reindex { name, dry } => {
            let report = workspace.reindex_repo(name, &dry.changes(), &session.context)?;
            let text = format!(
                "{}reindexed {name}: {}",
                would(dry.dry_run),
                describe_reindex(&report)
            );
            Ok(Answer::new(&report, text))
        }
        Repo::Remove { name, dry } => {
            let status = workspace.remove_repo(name, &dry.changes(), &session.context)?;
            let text = format!(
                "{}removed the repo {name}; `{}` is unchanged",
                would(dry.dry_run),
                status.place
            );
            Ok(Answer::new(&status, text))
        }
    }
}

/// The rebuilt files, and unusable ones.
fn describe_reindex(report: &backlot::ReindexReport) -> String {
    let broken = report.broken.iter();
    let broken = broken.map(|b| format!("\nnot used: `{}`: {}", b.place, b.reason));
    format!(
        "{} of {}; {} rebuilt, pages of {} written{}, {} added, {} removed{}",
        count(report.releases, "release"),
        count(report.packages, "package"),
        count(report.healed.len() as u64, "derived file"),
        count(report.paged.len() as u64, "package"),
        if report.root_pages.is_empty() {
            ""
        } else {
            " and the root pages"
        },
        count(report.events, "event"),
        count(report.removed.len() as u64, "left-over"),
        broken.collect::<String>()
    )
}

/// A place typed in another folder than the workspace's is kept relative to the workspace, as the file means it.
pub(super) fn relative_to_workspace(session: &Session, workspace: &Workspace, place: &str) -> String {
    if place.contains("://") || Path::new(place).is_absolute() {
        return place.to_owned();
    }
    let Ok(full) = std::path::absolute(session.here.join(place)) else {
        return place.to_owned();
    };
    let mut clean = std::path::PathBuf::new();
    for part in full.components() {
        if part == std::path::Component::ParentDir {
            clean.pop();
        } else {
            clean.push(part);
        }
    }
    let shared = workspace
        .root()
        .components()
        .zip(clean.components())
        .take_while(|(a, b)| a == b)
        .count();
    let up = workspace.root().components().count() - shared;
    let mut relative: std::path::PathBuf = std::iter::repeat_n("..", up).collect();
    relative.extend(clean.components().skip(shared));
    // Something far away reads better absolute.
    if up > 3 {
        clean.display().to_string()
    } else {
        relative.display().to_string()
    }
}

fn repo_row(status: &RepoStatus) -> Vec<String> {
    let packages = match status.packages {
        Some(number) => count(number as u64, "package"),
        None if status.problem.is_some() => "NOT USABLE".to_owned(),
        None if status.kind == RepoPlace::Index => "package index".to_owned(),
        None if status.kind == RepoPlace::Store => "object store".to_owned(),
        None => "not counted".to_owned(),
    };
    vec![
        status.name.clone(),
        status.place.clone(),
        packages,
        marks(&[
            (status.blessed, "preferred source"),
            (status.publish_to, "publish target"),
            (status.allow.is_some(), &list_of(status)),
        ]),
    ]
}

/// `public: numpy, pillow`
fn list_of(status: &RepoStatus) -> String {
    let names: Vec<String> = status.allow.iter().flatten().map(ToString::to_string).collect();
    match names.as_slice() {
        [] => "public: no packages allowed".to_owned(),
        names => format!("public: {}", names.join(", ")),
    }
}

/// Whether adding a place made it: a person who expected one that is in use sees that the path is wrong.
fn made_or_found(what: &str, created: bool, dry_run: bool) -> &'static str {
    match (what, created, dry_run) {
        ("repo", true, false) => "\ncreated: no repo existed at that location",
        ("repo", true, true) => "\nwould create it: no repo exists at that location",
        ("remote", true, false) => "\ncreated: no remote existed at that location",
        ("remote", true, true) => "\nwould create it: no remote exists at that location",
        _ => "",
    }
}

/// A line for each place that cannot be used.
fn problems<'a>(all: impl Iterator<Item = (&'a String, &'a Option<PlaceProblem>)>) -> String {
    all.filter_map(|(name, problem)| Some(format!("\n{name}: {}", problem.as_ref()?.message)))
        .collect()
}

fn marks(all: &[(bool, &str)]) -> String {
    all.iter()
        .filter(|(on, _)| *on)
        .map(|(_, name)| *name)
        .collect::<Vec<_>>()
        .join(", ")
}

fn describe_list(report: &AllowReport) -> String {
    let listed = |names: &[AllowedName]| {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        names.join(", ")
    };
    let repo = &report.repo;
    let change = if !report.added.is_empty() {
        format!("allowed {} from {repo}", listed(&report.added))
    } else if report.removed.is_empty() {
        "changed nothing".to_owned()
    } else {
        format!("removed {} from the allowlist of {repo}", listed(&report.removed))
    };
    match report.allow.as_slice() {
        [] => format!("{change}; the list is now empty"),
        all => format!("{change}; its list: {}", listed(all)),
    }
}

fn describe_repo(status: &RepoStatus) -> String {
    let marks = marks(&[
        (status.blessed, "preferred source"),
        (status.publish_to, "publish target"),
        (status.allow.is_some(), &list_of(status)),
    ]);
    let marks = if marks.is_empty() {
        String::new()
    } else {
        format!(" ({marks})")
    };
    format!("{} at `{}`{marks}", status.name, status.place)
}

/// The objects copied between remotes.
fn describe_copied(report: &backlot::CopyFilesReport) -> String {
    let (bytes, sent) = (
        backlot::text::bytes(report.bytes),
        backlot::text::bytes(report.sent),
    );
    let moved = if report.dry_run {
        String::new()
    } else {
        format!(" ({bytes}, {sent} sent)")
    };
    format!(
        "{}copied {}{moved} from {} to {}; {} already there",
        would(report.dry_run),
        count(report.objects, "object"),
        report.from,
        report.to,
        report.already_there
    )
}

pub(super) fn remote(session: &Session, command: &Remote) -> Result<Answer, Error> {
    let workspace = session.open()?;
    let one = |status: RemoteStatus, verb: &str, dry_run: bool| {
        let default = if status.default { " (default)" } else { "" };
        let text = format!(
            "{}{verb} the remote {} at `{}` (layout {}){default}{}",
            would(dry_run),
            status.name,
            status.url,
            status.layout,
            if verb == "added" {
                made_or_found("remote", status.created, dry_run)
            } else {
                ""
            }
        );
        Answer::new(&status, text)
    };
    Ok(match command {
        Remote::Add {
            name,
            url,
            layout,
            store,
            default,
            dry,
        } => {
            let options = AddRemote::new()
                .layout(*layout)
                .as_default(*default)
                .store(store.options())
                .dry_run(dry.dry_run);
            let url = relative_to_workspace(session, &workspace, url);
            one(
                workspace.add_remote(name, &url, &options, &session.context)?,
                "added",
                dry.dry_run,
            )
        }
        Remote::List => {
            let all = workspace.list_remotes(&session.context)?;
            let row = |r: &RemoteStatus| {
                vec![
                    r.name.clone(),
                    r.url.clone(),
                    r.layout.to_string(),
                    marks(&[(r.default, "default")]),
                ]
            };
            let rows: Vec<Vec<String>> = all.iter().map(row).collect();
            let text = if rows.is_empty() {
                "no remotes; add one with `backlot remote add NAME PLACE`".to_owned()
            } else {
                columns(&rows) + &problems(all.iter().map(|remote| (&remote.name, &remote.problem)))
            };
            Answer::new(&serde_json::json!({ "remotes": all }), text)
        }
        Remote::Copy {
            from,
            to,
            releases,
            dry,
        } => {
            let report = workspace.copy_files(from, to, releases, &dry.changes(), &session.context)?;
            let text = describe_copied(&report);
            Answer::new(&report, text)
        }
        Remote::Remove { name, dry } => one(
            workspace.remove_remote(name, &dry.changes(), &session.context)?,
            "removed",
            dry.dry_run,
        ),
        Remote::Default { name, dry } => one(
            workspace.default_remote(name, &dry.changes(), &session.context)?,
            "chose",
            dry.dry_run,
        ),
    })
}
