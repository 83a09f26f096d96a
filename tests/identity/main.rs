//! Who it was: roles, clients on this host, poolers, tags in comments, connections older than the sensor, and clients that lie.

mod before_start;
mod containers;
mod lies;
mod local;
mod mysql;
mod poolers;
mod redis;
mod roles;
mod scene;
mod tags;
