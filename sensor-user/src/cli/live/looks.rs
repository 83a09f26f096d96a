//! The running sensor as readers and `--console` see it.

use std::sync::Arc;

use super::Live;
use crate::{
    console::{
        Console,
        collect::{Around, snapshot},
        protocol::{Request, Snapshot},
        serve::{Ask, Readers},
    },
    time::Timestamp,
};

impl Live {
    /// Draws on the sensor's own standard output, if that is wanted.
    pub(super) fn draw(&mut self) {
        if self.console.is_none() {
            return;
        }
        let snapshot = self.snapshot(&Console::request());
        if let Some(console) = &mut self.console {
            console.draw(&snapshot);
        }
    }

    /// Readers have attached at the socket.
    pub fn is_read_by(&mut self, readers: Arc<Readers>) {
        self.readers = Some(readers);
    }

    /// Answers a reader, if it is still there.
    pub fn answer(&self, ask: Ask) {
        if !ask.answer.is_closed() {
            let _ = ask.answer.send(self.snapshot(&ask.request));
        }
    }

    fn snapshot(&self, question: &Request) -> Snapshot {
        let around = Around {
            now: Timestamp::now(),
            since: self.started,
            host: self.host.clone(),
            servers: self
                .servers
                .iter()
                .map(|server| server.name.to_string())
                .collect(),
            raised: self.told.count(),
            lost_detail: self.ring_full,
        };
        snapshot(&self.pipeline, &self.told, around, question)
    }
}
