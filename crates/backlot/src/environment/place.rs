//! Placing packages into the private copy of an environment, many at once: not bytes but names are made, by the kernel, and it
//! makes them in several folders at a time.
//!
//! Invariant: what two packages bring into one place is compared before the first file is placed, so that which of them comes
//! first decides nothing. What is more than files of its own in site-packages (scripts, data, editables) is placed one by one,
//! in the order of the plan. Deliberately absent: fetching and unpacking.

use std::collections::BTreeMap;
use std::path::PathBuf;

use backlot_core::LinkMode;
use backlot_pep::PackageName;
use backlot_wheel::{EntryPoints, InstallOptions, Layout, Owners, UnpackedWheel};
use rayon::prelude::*;

use crate::environment::lockfile::LockedPackage;
use crate::environment::plan::{EnvironmentPlan, INSTALLER};
use crate::error::Result;
use crate::project::output::Output;
use crate::project::standard_library;
use crate::workspace::Opened;

fn output_of<'o>(package: &LockedPackage, outputs: &'o [Output]) -> Option<&'o Output> {
    outputs.iter().find(|output| output.package() == package.name)
}

/// Where packages are placed, and how.
pub(crate) struct Placing<'a> {
    pub(crate) layout: &'a Layout,
    pub(crate) owners: &'a Owners,
    /// The ways to place files that work here.
    pub(crate) links: &'a [LinkMode],
}

impl Opened {
    /// Place all packages that a plan puts.
    pub(crate) fn place_all(
        &self,
        plan: &EnvironmentPlan,
        wheels: &BTreeMap<PackageName, PathBuf>,
        outputs: &[Output],
        to: &Placing<'_>,
    ) -> Result<()> {
        let read = |package: &LockedPackage| {
            let folder = wheels.get(&package.name).filter(|_| package.editable.is_none());
            let name = format!("{}-{}", package.name.file_stem(), package.version);
            let wheel = folder.map(|folder| UnpackedWheel::read(folder, &name));
            Ok(wheel.transpose()?)
        };
        let packages: Vec<&LockedPackage> = plan.put.iter().map(|(package, _)| package).collect();
        let pool = self.context().pool();
        let all = || packages.par_iter().map(|package| read(package)).collect();
        let wheels: Vec<Option<UnpackedWheel>> = pool.install::<Result<_>>(all)?;
        for wheel in wheels.iter().flatten() {
            to.owners.expect(wheel, to.layout)?;
        }
        let all = packages.into_iter().zip(&wheels);
        let (at_once, one_by_one): (Vec<_>, Vec<_>) =
            all.partition(|(_, wheel)| wheel.as_ref().is_some_and(|w| w.is_plain(to.layout)));
        let scripted: Vec<(&PackageName, &EntryPoints)> = plan
            .put
            .iter()
            .zip(&wheels)
            .filter_map(|((package, _), wheel)| match wheel {
                Some(wheel) => Some((&package.name, wheel.entry_points())),
                None => Some((&package.name, &output_of(package, outputs)?.project.entry_points)),
            })
            .collect();
        let place = |(package, wheel): (&LockedPackage, &Option<UnpackedWheel>)| {
            self.context().check()?;
            self.place(package, wheel.as_ref(), outputs, to)
        };
        pool.install(|| at_once.into_par_iter().try_for_each(place))?;
        one_by_one.into_iter().try_for_each(place)?;
        for ((package, _), wheel) in plan.put.iter().zip(&wheels) {
            for problem in wheel.iter().flat_map(UnpackedWheel::entry_point_problems) {
                let message = format!(
                    "entry_points.txt of {} has invalid entries: {problem}",
                    package.name
                );
                self.context().warn("install::broken_script", message);
            }
        }
        self.warn_of_scripts(&scripted, outputs, to.layout);
        Ok(())
    }

    /// Tell of scripts that were not made, or that call a module which nothing in the environment has.
    fn warn_of_scripts(&self, all: &[(&PackageName, &EntryPoints)], outputs: &[Output], layout: &Layout) {
        if layout.python.is_none() {
            // There are no scripts.
            return;
        }
        let mut folders = vec![layout.site_packages()];
        folders.extend(outputs.iter().flat_map(|output| output.project.import_folders()));
        let has = |module: &str| {
            standard_library::has(module)
                || folders
                    .iter()
                    .any(|folder| backlot_wheel::has_module(folder, module))
        };
        for (package, entry_points) in all {
            for script in backlot_wheel::broken_scripts(entry_points, &has) {
                let message = format!(
                    "the script `{}` of {package} is unusable: {}",
                    script.name, script.reason
                );
                self.context().warn("install::broken_script", message);
            }
        }
    }

    fn place(
        &self,
        package: &LockedPackage,
        wheel: Option<&UnpackedWheel>,
        outputs: &[Output],
        to: &Placing<'_>,
    ) -> Result<()> {
        let options = InstallOptions {
            links: to.links,
            installer: INSTALLER,
            requested: package.requested,
            direct_url: package.direct_url_json(),
        };
        if package.editable.is_some() {
            if let Some(output) = output_of(package, outputs) {
                let project = &output.project;
                backlot_wheel::install_editable(project, to.layout, &options, to.owners, self.context())?;
            }
        } else if let Some(wheel) = wheel {
            wheel.install(to.layout, &options, to.owners, self.context())?;
        }
        Ok(())
    }
}
