//! What a measurement stands on: servers with data, the sensor, the fixtures.

use std::{path::PathBuf, time::Duration};

use anyhow::{Context as _, Result};

use super::{
    fixture::Fixtures,
    load::{self, Done, Load},
    programs, redis_benchmark, sysbench,
    turn::Turn,
    variant::Variant,
};
use crate::{
    build, mariadb,
    postgresql::Server,
    progress::Progress,
    redis,
    setup::{self, For},
    signal, workspace,
};

/// All of it. Servers are stopped and their files removed when dropped.
#[derive(Debug)]
pub struct Bed {
    plain: Server,
    audited: Option<Server>,
    mariadb: Option<mariadb::Server>,
    redis: Option<redis::Server>,
    sensor: Option<PathBuf>,
    fixtures: Option<Fixtures>,
    _turn: Turn,
}

impl Bed {
    /// Makes what these variants take, and these loads beyond a PostgreSQL in clear.
    pub fn make(
        verb: &str,
        progress: &Progress,
        variants: &[Variant],
        loads: &[Load],
    ) -> Result<Self> {
        workspace::require_root_and_btf(verb)?;
        programs::require_no_counting()?;
        setup::install(progress, For::Bench)?;
        let sensor = if variants.iter().any(|variant| variant.is_sensor()) {
            Some(build::sensor(progress)?)
        } else {
            None
        };
        let fixtures = if variants.iter().any(|variant| variant.in_kernel()) {
            Some(Fixtures::build(progress)?)
        } else {
            None
        };
        signal::catch();
        let turn = Turn::take(progress)?;
        let tls: &[&str] = if loads.iter().any(|load| load.is_tls()) {
            &["ssl=on"]
        } else {
            &[]
        };
        let plain = server(progress, "plain", tls)?;
        let audited = if variants.contains(&Variant::Pgaudit) {
            Some(server(
                progress,
                "pgaudit",
                &[
                    &[
                        "shared_preload_libraries=pgaudit",
                        "pgaudit.log=all",
                        "pgaudit.log_rows=on",
                    ],
                    tls,
                ]
                .concat(),
            )?)
        } else {
            None
        };
        let mut mariadb = None;
        if loads.iter().any(|load| load.is_mariadb()) {
            progress.quiet("MariaDB with data", || {
                let started = mariadb::Server::start(&workspace::bench(), &[])?;
                let note = sysbench::prepare(&started)?;
                mariadb = Some(started);
                Ok(note)
            })?;
        }
        let mut redis = None;
        if loads.iter().any(|load| load.is_redis()) {
            progress.quiet("Redis with data", || {
                let started = redis::Server::start(&workspace::bench())?;
                let note = redis_benchmark::prepare(&started)?;
                redis = Some(started);
                Ok(note)
            })?;
        }
        Ok(Self {
            plain,
            audited,
            mariadb,
            redis,
            sensor,
            fixtures,
            _turn: turn,
        })
    }

    /// The server without anything, and without the library of anything.
    pub fn plain(&self) -> &Server {
        &self.plain
    }

    /// The server with the same data on which this variant is measured.
    pub fn server(&self, variant: Variant) -> Result<&Server> {
        match variant {
            Variant::Pgaudit => self.audited.as_ref().context("no server with pgaudit"),
            _ => Ok(&self.plain),
        }
    }

    /// Runs a load for a while, on the server on which this variant is measured.
    pub fn run(
        &self,
        load: Load,
        variant: Variant,
        slice: Duration,
        copy_rows: u64,
    ) -> Result<Done> {
        if load.is_mariadb() {
            return sysbench::run(load, self.mariadb()?, slice);
        }
        if load.is_redis() {
            return redis_benchmark::run(load, self.redis()?, slice);
        }
        load::run(load, self.server(variant)?, slice, copy_rows)
    }

    /// The MariaDB server.
    pub fn mariadb(&self) -> Result<&mariadb::Server> {
        self.mariadb.as_ref().context("no MariaDB")
    }

    /// The Redis server.
    pub fn redis(&self) -> Result<&redis::Server> {
        self.redis.as_ref().context("no Redis")
    }

    /// The sensor.
    pub fn sensor(&self) -> Result<&PathBuf> {
        self.sensor.as_ref().context("no sensor")
    }

    /// The fixtures.
    pub fn fixtures(&self) -> Result<&Fixtures> {
        self.fixtures.as_ref().context("no fixtures")
    }
}

fn server(progress: &Progress, name: &str, settings: &[&str]) -> Result<Server> {
    let mut server = None;
    progress.quiet(&format!("PostgreSQL ({name}) with data"), || {
        let place = workspace::bench().join(name);
        workspace::directory(&place)?;
        let started = Server::start(&place, settings)?;
        let note = load::prepare(&started)?;
        server = Some(started);
        Ok(note)
    })?;
    server.context("no server")
}
