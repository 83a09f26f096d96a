//! What commands of Redis' change of their session.

use sensor_ebpf::record::{RecordHeader, STATEMENT_FAILED, STATEMENT_SUSPENDED, StatementRecord};

use super::Pipeline;
use crate::sql::{Shape, redis};

impl Pipeline {
    /// Names that a client of Redis gave with this statement count from now on, if the server took them; false when none are known.
    pub(super) fn names_answered(&mut self, record: &StatementRecord) -> bool {
        let flags = record.header.flags;
        let took = if flags & STATEMENT_SUSPENDED != 0 {
            None
        } else {
            Some(flags & STATEMENT_FAILED == 0)
        };
        let RecordHeader {
            connection, link, ..
        } = record.header;
        self.resolver.answered(connection, link, took)
    }

    /// What a command of Redis' that did not fail has changed for those that follow it. `named`: all names that it gave are known.
    pub(super) fn redis_session(&mut self, record: &StatementRecord, shape: &Shape, named: bool) {
        let connection = record.header.connection;
        let queued = record.header.flags & STATEMENT_SUSPENDED != 0;
        match &*shape.operation {
            // Its names found the ring full, or its end did.
            "AUTH" | "HELLO" if !named => self.resolver.doubt(connection),
            // It waits for `EXEC`, whose answer does not tell.
            "SELECT" if queued => self.resolver.uses(connection, "".into()),
            _ if queued => {}
            "SELECT" => {
                if let Some(database) = redis::uses(shape) {
                    self.resolver.uses(connection, database);
                }
            }
            "RESET" => self.resolver.reset(connection),
            _ => {}
        }
    }
}
