//! Files of a crate by the modules that they are.

use std::collections::{BTreeMap, BTreeSet};

/// A module, as the names that lead to it.
pub(crate) type Module = Vec<String>;

/// The modules that each uses.
pub(crate) type Uses = BTreeMap<Module, BTreeSet<Module>>;

pub(crate) fn shown(module: &Module) -> String {
    if module.is_empty() {
        "lib".to_owned()
    } else {
        module.join("::")
    }
}
