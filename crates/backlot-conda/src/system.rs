//! This machine as seen by conda: its platform, and the virtual packages for its kernel, C library and processor.
//!
//! Deliberately absent: CUDA and other graphics drivers, whose detection starts programs.

use rattler_conda_types::{GenericVirtualPackage, PackageName, Subdir, Version};
use rattler_virtual_packages::{Archspec, LibC, Linux, Osx};

use crate::error::{Error, Result};

/// The platform folder of this machine.
pub(crate) fn platform() -> Result<Subdir> {
    Subdir::current().ok_or(Error::NoPlatform)
}

/// Whether packages of a platform folder run on this machine.
pub fn is_for_this_machine(subdir: &str) -> bool {
    subdir == "noarch" || Subdir::current().is_some_and(|here| here.as_str() == subdir)
}

/// The virtual packages of this machine. Undetected ones are omitted: packages that need them are then not selected.
pub(crate) fn virtual_packages() -> Vec<GenericVirtualPackage> {
    let mut all = Vec::new();
    if Subdir::current().is_some_and(Subdir::is_unix) {
        all.push(GenericVirtualPackage {
            name: PackageName::new_unchecked("__unix"),
            version: Version::major(0),
            build_string: "0".parse().expect("a build string"),
        });
    }
    all.extend(Linux::current().ok().flatten().map(Into::into));
    all.extend(LibC::current().ok().flatten().map(Into::into));
    all.extend(Osx::current().ok().flatten().map(Into::into));
    all.push(Archspec::current().into());
    all
}
