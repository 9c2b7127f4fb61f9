//! Releases and their repos: published, described, promoted, proven, verified and brought back.

mod policies;
mod promotion;
mod proofs;
mod races;
mod release_records;
mod releases;
mod repair_repo;
mod searching;
mod verify_repo;
