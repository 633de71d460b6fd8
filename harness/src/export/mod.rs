//! How numbers leave the harness: tables for people, JUnit for a CI system, and the input formats of
//! the trackers that keep a benchmark's history. Pure functions; what to say is the verbs' affair.

mod junit;
mod otava;
mod table;
mod tracker;

pub(crate) use junit::{Case, Outcome, junit_xml};
pub(crate) use otava::{Point, otava_config, otava_csv};
pub(crate) use table::Table;
pub(crate) use tracker::{Published, bencher, github_action_benchmark};
