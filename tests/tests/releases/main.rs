//! Releases and their repos: published, described, promoted, verified and restored.

mod policies;
mod promotion;
mod proofs;
mod races;
mod release_records;
mod releases;
mod repair_repo;
mod searching;
mod verify_repo;
