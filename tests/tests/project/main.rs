//! The project itself: its rules, its pages, its examples, and what is shipped.

mod contract;
mod dist;
mod example_assets;
mod examples;
mod guide;
mod pages;
mod repository;
