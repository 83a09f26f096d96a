//! Who it was: roles, clients on this host, poolers, connections older than the sensor, and clients that lie.

mod before_start;
mod lies;
mod local;
mod mariadb;
mod poolers;
mod redis;
mod roles;
mod scene;
