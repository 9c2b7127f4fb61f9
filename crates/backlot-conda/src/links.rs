//! Symbolic links of packages: none leads out of the prefix, not by way of another one either.
//!
//! rattler judges a link by the words of its path and target. Those say where it leads only if no other link is on the way.
//! Invariants, together enough by induction: what is listed as a file is one, in folders that are folders; a target is
//! relative, goes up before it goes down, and no further up than to the prefix; no link lies below another link, of
//! whatever package.

use std::collections::{BTreeMap, HashSet};
use std::path::{Component, Path, PathBuf};

use backlot_core::FileError;
use fs_err as fs;
use rattler::install::PythonInfo;
use rattler_conda_types::package::{PathType, PathsJson};
use rattler_conda_types::{PackageRecord, Subdir};

use crate::error::{Error, Result};

/// The links of one package, by path in the package, and how many folders each goes up.
pub(crate) type Links = Vec<(PathBuf, usize)>;

/// The links of an unpacked package; the reason where one is refused.
pub(crate) fn read_links(folder: &Path, paths: &PathsJson) -> Result<Result<Links, String>> {
    let real = fs::canonicalize(folder).map_err(FileError::from)?;
    let mut inside = HashSet::new();
    let mut links = Vec::new();
    for entry in &paths.paths {
        let path = real.join(&entry.relative_path);
        let shown = entry.relative_path.display();
        if let Some(parent) = path.parent()
            && !inside.contains(parent)
        {
            if fs::canonicalize(parent).is_ok_and(|parent| !parent.starts_with(&real)) {
                return Ok(Err(format!(
                    "`{shown}` is reached through a link that leads outside"
                )));
            }
            inside.insert(parent.to_path_buf());
        }
        // One that is absent is rattler's to report.
        if !fs::symlink_metadata(&path).is_ok_and(|found| found.is_symlink()) {
            continue;
        }
        if entry.path_type != PathType::SoftLink {
            return Ok(Err(format!("`{shown}` is a link and is listed as a file")));
        }
        let target = fs::read_link(&path).map_err(FileError::from)?;
        let Some(up) = goes_up(&target) else {
            return Ok(Err(format!("its link `{shown}` leads to `{}`", target.display())));
        };
        links.push((entry.relative_path.clone(), up));
    }
    Ok(Ok(links))
}

/// How many folders a target goes up; `None` if it is not relative, or goes up after it went down.
fn goes_up(target: &Path) -> Option<usize> {
    let (mut up, mut down) = (0, false);
    for part in target.components() {
        match part {
            Component::Normal(_) => down = true,
            Component::ParentDir if !down => up += 1,
            Component::CurDir => {}
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(up)
}

/// Refuses a link out of the prefix or below a link, among all packages that are installed together.
pub(crate) fn check_links(packages: &[(PackageRecord, Links)], platform: Subdir) -> Result<()> {
    let python = packages
        .iter()
        .find(|(record, _)| record.name.as_normalized() == "python")
        .and_then(|(record, _)| PythonInfo::from_python_record(record, platform).ok());
    let mut all = BTreeMap::new();
    for (record, links) in packages {
        for (link, up) in links {
            let place = match &python {
                Some(python) if record.noarch.is_python() => python.get_python_noarch_target_path(link),
                _ => link.into(),
            };
            let known = all.entry(place.into_owned()).or_insert((record, *up));
            known.1 = known.1.max(*up);
        }
    }
    for (link, (record, up)) in &all {
        let above = link.ancestors().skip(1).find(|above| all.contains_key(*above));
        let reason = match above {
            Some(above) => format!("is below the link `{}`", above.display()),
            None if *up >= link.components().count() => "leads outside".to_owned(),
            None => continue,
        };
        let (name, version) = (record.name.as_normalized(), &record.version);
        return Err(Error::BadPackage {
            package: format!("{name} {version} ({})", record.build),
            reason: format!("its link `{}` {reason}", link.display()),
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use rattler_conda_types::{NoArchType, PackageName, PackageRecord, Subdir, VersionWithSource};

    use super::{Links, check_links, goes_up};

    fn package(name: &str, python: bool, links: &[&str]) -> (PackageRecord, Links) {
        let version: VersionWithSource = "3.12.1".parse().expect("a version");
        let mut record = PackageRecord::new(
            PackageName::new_unchecked(name),
            version,
            "0".parse().expect("a build"),
        );
        if python {
            record.noarch = NoArchType::python();
        }
        (
            record,
            links.iter().map(|link| (PathBuf::from(link), 1)).collect(),
        )
    }

    #[test]
    fn targets_go_up_before_they_go_down_and_links_do_not_lie_below_links() {
        for (target, up) in [
            ("libx.so.1", Some(0)),
            ("../lib/x", Some(1)),
            ("../../a/b", Some(2)),
            ("./x", Some(0)),
            ("/etc/passwd", None),
            ("s/../..", None),
            ("../a/../../..", None),
        ] {
            assert_eq!(goes_up(Path::new(target)), up, "{target}");
        }
        let check = |packages: &[_]| check_links(packages, Subdir::Linux64);
        let library = package("libx", false, &["lib/libx.so", "share/x"]);
        let python = package("python", false, &["bin/python3"]);
        check(&[library, python.clone()]).expect("as most packages have them");
        check(&[package("out", false, &["lib64"])]).expect_err("one folder up from the prefix itself");
        let folder = package("a", false, &["lib/python3.12/site-packages/s"]);
        let below = package("b", true, &["site-packages/s/t"]);
        let error = check(&[folder, below, python]).expect_err("one below another");
        assert!(error.to_string().contains("site-packages/s/t"), "{error}");
    }
}
