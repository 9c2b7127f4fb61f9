//! Placing packages into the private copy of an environment, many at once: not bytes but names are made, by the kernel, and it
//! makes them in several folders at a time.
//!
//! Invariant: what two packages bring into one place is compared before the first file is placed, so that which of them comes
//! first decides nothing. What is more than files of its own in site-packages (scripts, data, editables) is placed one by one,
//! in the order of the plan. Deliberately absent: fetching and unpacking.

use std::collections::BTreeMap;
use std::path::PathBuf;

use backlot_core::{LinkMode, PackageName};
use backlot_wheel::{InstallOptions, Layout, Owners, UnpackedWheel};
use rayon::prelude::*;

use crate::error::Result;
use crate::install::{EnvironmentPlan, INSTALLER};
use crate::lockfile::LockedPackage;
use crate::outputs::Output;
use crate::workspace::Workspace;

/// Where packages are placed, and how.
pub(crate) struct Placing<'a> {
    pub(crate) layout: &'a Layout,
    pub(crate) owners: &'a Owners,
    /// The ways to place files that work here.
    pub(crate) links: &'a [LinkMode],
}

impl Workspace {
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
        let wheels: Vec<Option<UnpackedWheel>> = packages
            .par_iter()
            .map(|package| read(package))
            .collect::<Result<_>>()?;
        for wheel in wheels.iter().flatten() {
            to.owners.expect(wheel, to.layout)?;
        }
        let all = packages.into_iter().zip(&wheels);
        let (at_once, one_by_one): (Vec<_>, Vec<_>) =
            all.partition(|(_, wheel)| wheel.as_ref().is_some_and(|w| w.is_plain(to.layout)));
        let place = |(package, wheel): (&LockedPackage, &Option<UnpackedWheel>)| {
            self.context().check()?;
            self.place(package, wheel.as_ref(), outputs, to)
        };
        at_once.into_par_iter().try_for_each(place)?;
        one_by_one.into_iter().try_for_each(place)
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
            if let Some(output) = outputs.iter().find(|o| o.package() == package.name) {
                let project = &output.project;
                backlot_wheel::install_editable(project, to.layout, &options, to.owners, self.context())?;
            }
        } else if let Some(wheel) = wheel {
            wheel.install(to.layout, &options, to.owners, self.context())?;
        }
        Ok(())
    }
}
