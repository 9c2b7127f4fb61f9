//! Cascades, the checks they ask, the events they leave, and the machines of a farm.

mod continued;
mod executors;
mod farm_parts;
mod farm_refusals;
mod feed;
mod reports;
mod runs;
mod slurm;
mod validators;
