//! Promise: whatever a client sends and however it sends it, the sensor counts it exactly, or says that it can't and
//! stays right about everybody else.
//!
//! The client builds every message by hand (`harness/raw.rs`) and counts what comes back.

mod endings;
mod evasion;
mod hostile;
mod pipelines;
mod portals;
mod preemption;
mod replication;
mod restarts;
mod split;
mod stage;
mod startup;
mod unusual;
