//! Releases and the repos they are in: published, copied, judged, checked, looked at.

pub(crate) mod allow;
pub(crate) mod approved;
pub(crate) mod browse;
pub(crate) mod copy;
pub(crate) mod deprecate;
pub(crate) mod diff;
pub(crate) mod from_parts;
pub(crate) mod import_folder;
pub(crate) mod known_remotes;
pub(crate) mod labels;
pub(crate) mod log;
pub(crate) mod mirror;
pub(crate) mod next_version;
pub(crate) mod parts;
pub(crate) mod publish;
pub(crate) mod repair_repo;
pub(crate) mod status;
pub(crate) mod verify_repo;
