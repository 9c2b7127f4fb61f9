//! Cascades, checks, events, and farms.

mod background;
mod continued;
mod deprecations;
mod executors;
mod farm_parts;
mod farm_refusals;
mod feed;
mod feed_topics;
mod graphs;
mod reports;
mod reverts;
mod runs;
mod slurm;
mod validators;
