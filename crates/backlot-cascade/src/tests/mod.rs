//! Tests over a studio in memory: the 25 scenarios by number, a model of the protocol, and a simulation with faults.

mod drive;
mod executors;
mod format;
mod model;
mod scale;
mod scenarios_graph;
mod scenarios_limits;
mod scenarios_people;
mod scenarios_run;
mod simulation;
mod solver;
mod studio;
mod threads;
