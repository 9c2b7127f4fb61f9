//! What is not Python wheels: interpreters, and conda packages of `external_packages/`.

pub(crate) mod conda;
pub(crate) mod external;
pub(crate) mod prefix;
pub(crate) mod python;
