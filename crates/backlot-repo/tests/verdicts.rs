//! What people say of releases: folded in order, on the pages, never lost, whoever speaks at the same time.
#![allow(clippy::unwrap_used, reason = "a test fails where it cannot go on")]

mod support;

use std::sync::Arc;

use backlot_core::{Context, FixedClock, Timestamp};
use backlot_repo::{ReleaseStore, StatusChange};
use fs_err as fs;
use support::{Wheel, by, package, tree, version};

fn repo(root: &std::path::Path) -> ReleaseStore {
    let repo = ReleaseStore::create_folder(root).unwrap();
    let folder = tempfile::tempdir().unwrap();
    for number in ["1.0", "2.0"] {
        let wheel = Wheel::new("chair", number).write(folder.path());
        repo.publish(&wheel, &by("ana"), &Context::default()).unwrap();
    }
    repo
}

#[test]
fn a_yank_is_on_the_pages_until_it_is_taken_back() {
    let folder = tempfile::tempdir().unwrap();
    let repo = repo(folder.path());
    let context = Context::default();
    let release = repo
        .release(&package("chair"), &version("2.0"), &context)
        .unwrap();
    let mut why = by("bo");
    why.reason = "a <leg> is \"off\"".to_owned();
    let page = || fs::read_to_string(folder.path().join("simple/chair/index.html")).unwrap();
    let before = tree(folder.path());
    let planned = repo
        .set_status(&release, StatusChange::Yank, &why, true, &context)
        .unwrap();
    assert!(planned.status.yanked.is_some() && !planned.already);
    assert_eq!((before, page().contains("yanked")), (tree(folder.path()), false));
    repo.set_status(&release, StatusChange::Yank, &why, false, &context)
        .unwrap();
    assert!(
        page().contains("data-yanked=\"a &lt;leg&gt; is &quot;off&quot;\""),
        "{}",
        page()
    );
    let json = fs::read_to_string(folder.path().join("simple/chair/index.json")).unwrap();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["files"][0]["yanked"], false);
    assert_eq!(json["files"][1]["yanked"], why.reason.as_str());
    let again = repo
        .set_status(&release, StatusChange::Yank, &why, false, &context)
        .unwrap();
    assert!(again.already);
    let report = repo
        .set_status(&release, StatusChange::Unyank, &by("ana"), false, &context)
        .unwrap();
    assert_eq!(report.status.yanked, None);
    assert!(!page().contains("yanked"));
    assert_eq!(tree(&folder.path().join("status/chair/2.0")).len(), 3);
}

#[test]
fn a_late_clock_takes_nothing_back_by_accident() {
    let folder = tempfile::tempdir().unwrap();
    let repo = repo(folder.path());
    let at = |ms| Context::default().with_clock(Arc::new(FixedClock(Timestamp(ms))));
    let now = Context::default().now().0;
    let release = repo
        .release(&package("chair"), &version("1.0"), &Context::default())
        .unwrap();
    repo.set_status(&release, StatusChange::Yank, &by("ana"), false, &at(now + 50_000))
        .unwrap();
    let report = repo
        .set_status(&release, StatusChange::Unyank, &by("bo"), false, &at(now))
        .unwrap();
    assert_eq!(report.status.yanked, None, "she saw the yank and took it back");
    assert_eq!(report.fact.at, Timestamp(now + 50_001));
}

#[test]
fn of_many_people_at_once_all_are_heard() {
    let folder = tempfile::tempdir().unwrap();
    let repo = repo(folder.path());
    let context = Context::default().with_clock(Arc::new(FixedClock(Timestamp(1_800_000_000_000))));
    let release = repo
        .release(&package("chair"), &version("1.0"), &context)
        .unwrap();
    std::thread::scope(|scope| {
        for number in 0..16 {
            let (repo, release, context) = (repo.clone(), &release, &context);
            scope.spawn(move || {
                let verdict =
                    [StatusChange::Approve, StatusChange::Yank, StatusChange::Deprecate][number % 3];
                repo.set_status(release, verdict, &by(&format!("p{number}")), false, context)
            });
        }
    });
    let status = repo.status(&release).unwrap();
    assert_eq!(status.approved.len(), 6);
    assert!(status.yanked.is_some() && status.deprecated.is_some());
    assert_eq!(
        tree(&folder.path().join("status/chair/1.0")).len(),
        17,
        "and how it was published"
    );
    assert_eq!(support::temporaries(folder.path()), [] as [String; 0]);
    let page = fs::read_to_string(folder.path().join("simple/chair/index.html")).unwrap();
    assert!(page.contains("data-yanked"));
}

#[test]
fn carried_facts_keep_their_names_and_come_once() {
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (source, target) = (repo(here.path()), repo(there.path()));
    let context = Context::default();
    let (name, number) = (package("chair"), version("1.0"));
    let release = source.release(&name, &number, &context).unwrap();
    for verdict in [StatusChange::Approve, StatusChange::Yank] {
        source
            .set_status(&release, verdict, &by("ana"), false, &context)
            .unwrap();
    }
    let facts = source.events_to_import(&release).unwrap();
    assert_eq!(facts.len(), 2);
    let carry = |dry_run| target.import_events(&release, &facts, dry_run, &context).unwrap();
    assert_eq!(
        (carry(true), carry(false), carry(true), carry(false)),
        (2, 2, 0, 0)
    );
    let copy = target.release(&name, &number, &context).unwrap();
    assert_eq!(
        target.status(&copy).unwrap().yanked,
        source.status(&release).unwrap().yanked
    );
    assert_eq!(target.status(&copy).unwrap().published.unwrap().author, "ana");
    assert!(
        fs::read_to_string(there.path().join("simple/chair/index.html"))
            .unwrap()
            .contains("data-yanked")
    );
}
