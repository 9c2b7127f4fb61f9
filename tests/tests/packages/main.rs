//! Packages: choosing, installing, locking and building, compared with pip and uv.

mod choosing;
mod conda;
mod devpi;
mod digests;
mod direct_urls;
mod direct_urls_uv;
mod environments;
mod indexes;
mod locks;
mod peers;
mod public;
mod pylocks;
mod records;
mod scripts;
mod sources;
mod uv_scenarios;
mod whole_releases;
