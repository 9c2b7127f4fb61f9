//! Cascades, the checks they ask, the events they leave, and the machines of a farm.

mod continued;
mod farm_parts;
mod farm_refusals;
mod feed;
mod graphs;
mod reports;
mod runs;
mod validators;
