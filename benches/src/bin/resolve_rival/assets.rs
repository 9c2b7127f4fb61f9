//! The studios that are resolved: packages as data, and their wheels written into a repo's folder.
//!
//! Invariant: a studio depends on its numbers only. Its wheels are small (one module), since not bytes but packages are
//! measured. Deliberately absent: publishing; the repo's own `reindex` makes records and pages from the wheels, as it does
//! for a repo that was copied.

use std::io::{self, Write as _};
use std::path::Path;

use backlot_core::Sha256;
use fs_err as fs;
use sha2::Digest as _;
use zip::write::SimpleFileOptions;

/// A set of packages and how they require each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Studio {
    /// Its name in reports and folders.
    pub(crate) name: &'static str,
    /// How many packages, beside `root`.
    pub(crate) packages: usize,
    /// How many versions each has.
    pub(crate) versions: usize,
    shape: Shape,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    /// `root` requires all, all require the last.
    Diamond,
    /// Each requires the next.
    Chain,
    /// Each version requires two to three later packages, bounded below by its own age. The newest three of some packages
    /// also bound a package from above that others bound from below, so that they cannot be taken.
    Web,
}

/// The studios of the published figures.
pub(crate) const FULL: [Studio; 3] = [
    Studio {
        name: "diamond",
        packages: 2_000,
        versions: 1,
        shape: Shape::Diamond,
    },
    Studio {
        name: "chain",
        packages: 2_000,
        versions: 1,
        shape: Shape::Chain,
    },
    Studio {
        name: "web",
        packages: 2_000,
        versions: 50,
        shape: Shape::Web,
    },
];

/// The same in seconds, to see that the bench works.
pub(crate) const SMALL: [Studio; 3] = [
    Studio {
        packages: 100,
        ..FULL[0]
    },
    Studio {
        packages: 100,
        ..FULL[1]
    },
    Studio {
        packages: 200,
        versions: 10,
        ..FULL[2]
    },
];

impl Studio {
    /// How many releases it has.
    pub(crate) fn releases(&self) -> usize {
        self.packages * self.versions + 1
    }

    /// Write all wheels as a repo in a folder holds them: `packages/<name>/<wheel>`.
    pub(crate) fn write(&self, repo: &Path) -> io::Result<()> {
        let all = self.root_needs();
        write_wheel(repo, "root", "1.0", &all)?;
        for package in 0..self.packages {
            for version in 0..self.versions {
                let needs = self.needs(package, version);
                write_wheel(repo, &name_of(package), &format!("1.{version}"), &needs)?;
            }
        }
        Ok(())
    }

    fn root_needs(&self) -> Vec<String> {
        match self.shape {
            Shape::Diamond => (0..self.packages).map(name_of).collect(),
            Shape::Chain => vec![name_of(0)],
            Shape::Web => (0..self.packages.min(40)).map(name_of).collect(),
        }
    }

    /// What a version of a package requires.
    fn needs(&self, package: usize, version: usize) -> Vec<String> {
        let last = self.packages - 1;
        match self.shape {
            Shape::Diamond if package < last => vec![name_of(last)],
            Shape::Chain if package < last => vec![name_of(package + 1)],
            Shape::Diamond | Shape::Chain => Vec::new(),
            Shape::Web => {
                let later = [package * 2 + 1, package * 2 + 2, package + 7];
                let oldest = version.saturating_sub(5);
                let mut needs: Vec<String> = later
                    .into_iter()
                    .filter(|&other| other <= last)
                    .map(|other| format!("{}>=1.{oldest}", name_of(other)))
                    .collect();
                if package % 100 == 3 && version + 3 >= self.versions && package + 100 <= last {
                    needs.push(format!("{}<1.{}", name_of(package + 100), self.versions / 2));
                }
                needs
            }
        }
    }
}

fn name_of(package: usize) -> String {
    format!("asset{package:05}")
}

fn write_wheel(repo: &Path, name: &str, version: &str, needs: &[String]) -> io::Result<()> {
    let info = format!("{name}-{version}.dist-info");
    let mut metadata = format!("Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n");
    for need in needs {
        metadata.push_str(&format!("Requires-Dist: {need}\n"));
    }
    let wheel = "Wheel-Version: 1.0\nGenerator: backlot-benches\nRoot-Is-Purelib: true\nTag: py3-none-any\n";
    let mut files = vec![
        (format!("{name}/__init__.py"), format!("NAME = '{name}'\n")),
        (format!("{info}/METADATA"), metadata),
        (format!("{info}/WHEEL"), wheel.to_owned()),
    ];
    let mut record = String::new();
    for (file, text) in &files {
        let digest = Sha256::from_bytes(sha2::Sha256::digest(text).into()).to_base64url();
        record.push_str(&format!("{file},sha256={digest},{}\n", text.len()));
    }
    record.push_str(&format!("{info}/RECORD,,\n"));
    files.push((format!("{info}/RECORD"), record));
    let mut archive = zip::ZipWriter::new(io::Cursor::new(Vec::new()));
    let stored = SimpleFileOptions::default()
        .compression_method(zip::CompressionMethod::Stored)
        .last_modified_time(zip::DateTime::default());
    for (file, text) in files {
        archive.start_file(file, stored).map_err(io::Error::other)?;
        archive.write_all(text.as_bytes())?;
    }
    let bytes = archive.finish().map_err(io::Error::other)?.into_inner();
    let folder = repo.join("packages").join(name);
    fs::create_dir_all(&folder)?;
    fs::write(folder.join(format!("{name}-{version}-py3-none-any.whl")), bytes)
}

#[cfg(test)]
mod tests {
    use super::{FULL, SMALL};

    #[test]
    fn the_web_has_a_hundred_thousand_releases_that_require_later_packages() {
        let web = FULL[2];
        assert_eq!(web.releases(), 100_001);
        assert_eq!(
            web.needs(0, 49),
            ["asset00001>=1.44", "asset00002>=1.44", "asset00007>=1.44"]
        );
        assert_eq!(web.needs(3, 47).last().expect("needs"), "asset00103<1.25");
        assert!(web.needs(1_999, 0).is_empty());
    }

    #[test]
    fn a_written_studio_has_its_wheels_where_a_repo_has_them() {
        let folder = tempfile::tempdir().expect("a folder");
        SMALL[1].write(folder.path()).expect("written");
        let wheel = "packages/asset00099/asset00099-1.0-py3-none-any.whl";
        assert!(folder.path().join(wheel).is_file());
        assert_eq!(
            fs_err::read_dir(folder.path().join("packages"))
                .expect("read")
                .count(),
            101
        );
    }
}
