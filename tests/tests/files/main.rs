//! Files of assets: added, stored, pulled, kept and removed, on this machine and in folders.

mod adding;
mod caches;
mod collections;
mod damaged_remotes;
mod dropped;
mod growth;
mod heavy;
mod kills;
mod large_files;
mod local_cache;
mod localized;
mod partial_folders;
mod places;
mod pointers;
mod power_cuts;
mod pulling;
mod usage;
