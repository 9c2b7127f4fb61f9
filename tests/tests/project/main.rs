//! The project itself: rules, pages, examples and distribution.

mod contract;
mod dist;
mod example_assets;
mod examples;
mod guide;
mod pages;
mod repository;
