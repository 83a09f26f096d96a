//! Completions that one operation brings, put together before they are put to those before it: with sixteen requests in one read
//! and sixteen answers in one send, a look into a map for each would be most of all that it costs.

use crate::{
    connection::Connection,
    protocol::{Completion, Outcome, Several, Surroundings, outcome},
    record::CommandTag,
};

/// See the module. Lives in [`crate::scratch::Scratch`], see there. Empty where `queries` is zero.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Run {
    /// Statement.
    pub fingerprint: u64,
    /// When the first was asked.
    pub started: u64,
    /// Rows returned.
    pub returned: u64,
    /// How many.
    pub queries: u32,
    /// Most rows of one.
    pub largest_rows: u32,
    /// Most bytes that one sent.
    pub largest_bytes: u32,
}

/// Nothing has been completed by the operation at hand.
#[inline(always)]
pub fn begin<S: Surroundings>(s: &mut S) {
    s.scratch().run.queries = 0;
}

/// One more was completed, ordinary as all of these.
#[inline(always)]
pub fn add<S: Surroundings>(
    s: &mut S,
    c: &mut Connection,
    fingerprint: u64,
    started: u64,
    rows: u64,
    bytes: u64,
) {
    let run = &s.scratch().run;
    if run.queries != 0 && run.fingerprint != fingerprint {
        flush(s, c);
    }
    let run = &mut s.scratch().run;
    if run.queries == 0 {
        run.fingerprint = fingerprint;
        run.started = started;
        run.returned = 0;
        run.largest_rows = 0;
        run.largest_bytes = 0;
    }
    run.queries += 1;
    run.returned += rows;
    if rows as u32 > run.largest_rows {
        run.largest_rows = rows as u32;
    }
    if bytes as u32 > run.largest_bytes {
        run.largest_bytes = bytes as u32;
    }
}

/// Hands them on, with all bytes that no record holds yet.
#[inline(never)]
pub fn flush<S: Surroundings>(s: &mut S, c: &mut Connection) {
    let run = s.scratch().run;
    if run.queries == 0 {
        return;
    }
    // As if they were the front request.
    let (fingerprint, started) = (c.front.fingerprint, c.front.started);
    c.front.fingerprint = run.fingerprint;
    c.front.started = run.started;
    let several = Several {
        completion: Completion {
            tag: CommandTag::Select,
            returned: run.returned,
            written: 0,
            flags: 0,
        },
        queries: run.queries,
        largest_rows: run.largest_rows,
        largest_bytes: run.largest_bytes,
    };
    if !s.merge(c, &several) {
        hand_on(s, c);
    }
    s.scratch().run.queries = 0;
    c.last_fingerprint = c.front.fingerprint;
    c.front.fingerprint = fingerprint;
    c.front.started = started;
}

/// By a record of their own.
#[inline(always)]
fn hand_on<S: Surroundings>(s: &mut S, c: &mut Connection) {
    let ended = s.now();
    let scratch = s.scratch();
    let run = &scratch.run;
    scratch.walk.outcome = Outcome {
        fingerprint: run.fingerprint,
        rows_returned: run.returned as i64,
        tag: CommandTag::Select,
        queries: run.queries,
        started: run.started,
        ended,
        largest_rows: run.largest_rows,
        largest_bytes: run.largest_bytes,
        ..Outcome::default()
    };
    outcome::flush(s, c);
    s.statement(c);
    outcome::forget_bytes(c);
}
