//! Test harness: throwaway database servers, the sensor, real clients, and independent counts to hold against each other.
//!
//! A test takes its [`Turn`] first (one sensor under test at a time on a machine), then starts a [`Postgres`] and a
//! [`Sensor`], runs clients, stops the sensor and compares [`Volume`]s.

mod configuration;
mod differences;
mod environment;
mod other_root;
mod postgres;
mod sensor;
mod throwaway;
mod tokio_client;
mod truth;
mod volume;

pub mod clients;
pub mod container;
pub mod kerberos;
pub mod login;
pub mod mysql;
pub mod mysql_clients;
pub mod mysql_raw;
pub mod mysql_rs;
pub mod network;
pub mod otlp;
pub mod pgbouncer;
pub mod raw;
pub mod receivers;
pub mod redis;
pub mod redis_rs;
pub mod relay;
pub mod resp;
pub mod tls;

pub use differences::Differences;
pub use environment::{
    Turn, assert_within, fewer, patience, pause, require_root_and_bpf, sensor_binary, slowness,
    workspace,
};
pub use mysql::MariaDb;
pub use postgres::{Options, Postgres};
pub use redis::Redis;
pub use sensor::{CONFIGURATION, Output, Sensor, allowed_rungs, is_lowest_rung, wait_until};
pub use throwaway::Throwaway;
pub use truth::{Statements, statements};
pub use volume::Volume;
