//! Object stores and access to them: real servers, faults, credentials, site caches, bundles.

mod backends;
mod bundles;
mod bundles_refused;
mod credentials;
mod dvc_in_stores;
mod faults;
mod movers;
mod remotes_in_stores;
mod repos_in_stores_upkeep;
mod secrets;
mod site_caches;
mod stores;
mod to_remote;
