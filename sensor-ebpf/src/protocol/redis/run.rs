//! Completions that one operation brings, put together before they are put to those before it: with sixteen requests in one read
//! and sixteen answers in one send, a look into a map for each would be most of all that it costs.
//!
//! They are handed on from where few calls are nested, between two answers: before one of another statement begins, and at the
//! operation's end. Kernels have stack for eight calls only.

use core::mem::swap;

use crate::{
    connection::Connection,
    protocol::{Completion, Outcome, Several, Surroundings, outcome},
    record::CommandTag,
};

/// See the module. Lives in [`crate::scratch::Scratch`], see there.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Run {
    /// Statement.
    pub fingerprint: u64,
    /// When the first was asked.
    pub started: u64,
    /// What they say; none where `queries` is zero.
    pub several: Several,
    /// `REPORT`, `ENTERED`: to be done between two answers.
    pub due: u32,
    /// The last of the answers that were put together, for one like it.
    pub last: Small,
}

/// A small answer: a text, a number or a word.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Small {
    /// Its first bytes, up to what is not compared.
    pub word: u64,
    /// Which of them they are; zero for none.
    pub mask: u64,
    /// How long it is.
    pub bytes: u32,
    /// What it counts for.
    pub rows: u32,
}

/// A completion is to be reported that can't be put together with others.
pub const REPORT: u32 = 1;
/// It is to be told that another phase has begun.
pub const ENTERED: u32 = 2;

/// Nothing has been completed by the operation at hand.
#[inline(always)]
pub fn begin<S: Surroundings>(s: &mut S) {
    let run = &mut s.scratch().run;
    run.several.queries = 0;
    run.due = 0;
    run.last.mask = 0;
}

/// One more was completed whose answer is like that of the last, of the same request.
#[inline(always)]
pub fn repeat_last<S: Surroundings>(s: &mut S) {
    let run = &mut s.scratch().run;
    run.several.queries += 1;
    run.several.completion.returned += u64::from(run.last.rows);
}

/// One more was completed, ordinary as all of these, and of the same statement.
#[inline(always)]
pub fn add<S: Surroundings>(s: &mut S, fingerprint: u64, started: u64, rows: u64, bytes: u64) {
    let run = &mut s.scratch().run;
    if run.several.queries == 0 {
        run.fingerprint = fingerprint;
        run.started = started;
        run.several = Several {
            completion: Completion {
                tag: CommandTag::Select,
                returned: 0,
                written: 0,
                flags: 0,
            },
            queries: 0,
            largest_rows: 0,
            largest_bytes: 0,
        };
    }
    debug_assert_eq!(run.fingerprint, fingerprint);
    run.several.queries += 1;
    run.several.completion.returned += rows;
    if rows as u32 > run.several.largest_rows {
        run.several.largest_rows = rows as u32;
    }
    if bytes as u32 > run.several.largest_bytes {
        run.several.largest_bytes = bytes as u32;
    }
}

/// Are there any that are not of this statement?
#[inline(always)]
pub fn is_of_another<S: Surroundings>(s: &mut S, fingerprint: u64) -> bool {
    let run = &s.scratch().run;
    run.several.queries != 0 && run.fingerprint != fingerprint
}

/// Hands them on, with all bytes that no record holds yet.
#[inline(never)]
pub fn flush<S: Surroundings>(s: &mut S, c: &mut Connection) {
    if s.scratch().run.several.queries == 0 {
        return;
    }
    // As if they were the front request.
    exchange(s, c);
    if !s.merge_run(c) {
        hand_on(s, c);
    }
    let run = &mut s.scratch().run;
    run.several.queries = 0;
    run.last.mask = 0;
    c.last_fingerprint = c.front.fingerprint;
    exchange(s, c);
}

#[inline(always)]
fn exchange<S: Surroundings>(s: &mut S, c: &mut Connection) {
    let run = &mut s.scratch().run;
    swap(&mut run.fingerprint, &mut c.front.fingerprint);
    swap(&mut run.started, &mut c.front.started);
}

/// By a record of their own.
#[inline(always)]
fn hand_on<S: Surroundings>(s: &mut S, c: &mut Connection) {
    let ended = s.now();
    let scratch = s.scratch();
    let several = &scratch.run.several;
    scratch.walk.outcome = Outcome {
        fingerprint: c.front.fingerprint,
        rows_returned: several.completion.returned as i64,
        tag: CommandTag::Select,
        queries: several.queries,
        started: c.front.started,
        ended,
        largest_rows: several.largest_rows,
        largest_bytes: several.largest_bytes,
        ..Outcome::default()
    };
    outcome::flush(s, c);
    s.statement(c);
    outcome::forget_bytes(c);
}

/// Does what became due with an answer.
#[inline(never)]
pub fn settle<S: Surroundings>(s: &mut S, c: &mut Connection) {
    let due = s.scratch().run.due;
    s.scratch().run.due = 0;
    if due & REPORT != 0 {
        outcome::report_pending(s, c);
        c.ordinal = 0;
    }
    if due & ENTERED != 0 {
        s.phase_entered(c);
    }
}
