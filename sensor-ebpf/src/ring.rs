//! Records out. What finds the ring full is added to the overflow map: detail is lost, volume never.

use aya_ebpf::helpers::generated::{
    bpf_jiffies64, bpf_ktime_get_ns, bpf_probe_read_kernel, bpf_ringbuf_output,
    bpf_ringbuf_reserve, bpf_ringbuf_submit,
};
#[cfg(not(floor))]
use sensor_ebpf::merged::Merged;
use sensor_ebpf::{
    bytes::{PART_MASK, Window, barrier, opaque},
    connection::Connection,
    picked::{KEYS_BOUND, KEYS_CUT, KEYS_FIRST, KEYS_KEY},
    protocol::{Outcome, ROUGHLY},
    record::{
        CloseRecord, KeysRecord, OverflowKey, OverflowVolume, PhaseRecord, ProgressRecord,
        RecordHeader, RecordKind, StatementRecord, TEXT_TRUNCATED, TextHeader,
    },
    scratch::Scratch,
};

use crate::maps::{OVERFLOW, RING, TEXTS, WALKS, count, raw, setting};

/// `BPF_RB_NO_WAKEUP`: userspace drains on a timer; waking it for every record costs more than all the rest.
const NO_WAKEUP: u64 = 1;

/// `CLOCK_MONOTONIC` in nanoseconds: half the cost of `CLOCK_BOOTTIME`, which goes on while a host sleeps.
#[inline(always)]
pub fn now() -> u64 {
    // SAFETY: a helper without arguments.
    unsafe { bpf_ktime_get_ns() }
}

/// The time of a [`ROUGHLY`] mark, given the time now.
#[inline(always)]
fn exact(started: u64, now: u64) -> u64 {
    if started & ROUGHLY == 0 {
        return started;
    }
    now - ticks().wrapping_sub(started & !ROUGHLY) * u64::from(setting!(tick))
}

/// A clock that ticks some hundred times a second (`jiffies`).
#[inline(always)]
pub fn ticks() -> u64 {
    // SAFETY: a helper without arguments; the verifier replaces the call by one load.
    unsafe { bpf_jiffies64() }
}

/// Reserves a record in the ring and lets `fill` write all of it; false when the ring is full.
#[inline(always)]
pub fn emit<T>(fill: impl FnOnce(&mut T)) -> bool {
    // SAFETY: the size is that of `T`; every field of every record is an integer, so any content is valid.
    unsafe {
        let record = bpf_ringbuf_reserve(raw(&RING), size_of::<T>() as u64, 0).cast::<T>();
        if record.is_null() {
            return false;
        }
        fill(&mut *record);
        bpf_ringbuf_submit(record.cast(), NO_WAKEUP);
    }
    true
}

/// Header of a fixed record.
#[inline(always)]
pub fn header(kind: RecordKind, flags: u8, tag: u8, connection: u64) -> RecordHeader {
    RecordHeader {
        kind: kind as u8,
        flags,
        tag,
        link: 0,
        detail: 0,
        connection,
    }
}

/// A finished statement, or bytes outside of any.
#[inline(never)]
pub fn statement(c: &Connection, outcome: &Outcome) {
    let sent = emit(|record: &mut StatementRecord| {
        *record = StatementRecord {
            header: header(
                RecordKind::Statement,
                outcome.flags,
                outcome.tag as u8,
                c.id,
            ),
            fingerprint: outcome.fingerprint,
            rows_returned: outcome.rows_returned,
            rows_written: outcome.rows_written,
            bytes_sent: c.sent,
            bytes_received: c.received,
            started: exact(outcome.started, outcome.ended),
            ended: outcome.ended,
            queries: outcome.queries,
            ordinal: u32::from(c.ordinal),
            largest_rows: 0,
            largest_bytes: 0,
        };
        // Loaded now: before, they would be two more values that wait on the stack, see `key`.
        barrier();
        record.header.link = outcome.link;
        record.header.detail = outcome.sqlstate;
        record.largest_rows = outcome.largest_rows;
        record.largest_bytes = outcome.largest_bytes;
    });
    if !sent {
        overflow(c, outcome);
    }
}

/// Statements that were put together.
#[cfg(not(floor))]
#[inline(never)]
pub fn merged(m: &mut Merged) {
    // The times replace the ticks in place: as locals they would be spilled, see `key` about the stack.
    let now = now();
    m.started = exact(m.started, now);
    m.ended_at = exact(ROUGHLY | m.ended_at, now);
    // The tick may have begun before the first request.
    if m.ended_at < m.started {
        m.ended_at = m.started;
    }
    barrier();
    let sent = emit(|record: &mut StatementRecord| {
        *record = StatementRecord {
            header: header(RecordKind::Statement, 0, m.tag as u8, m.connection),
            fingerprint: m.fingerprint,
            rows_returned: m.rows_returned as i64,
            rows_written: m.rows_written,
            bytes_sent: m.bytes_sent,
            bytes_received: m.bytes_received,
            started: m.started,
            ended: m.ended_at,
            queries: m.queries,
            ordinal: 0,
            largest_rows: m.largest_rows,
            largest_bytes: m.largest_bytes,
        };
    });
    if !sent {
        barrier();
        keep(
            &OverflowKey {
                connection: m.connection,
                fingerprint: m.fingerprint,
            },
            &OverflowVolume {
                rows_returned: m.rows_returned as i64,
                rows_written: m.rows_written,
                bytes_sent: m.bytes_sent,
                bytes_received: m.bytes_received,
                queries: u64::from(m.queries),
                records: u64::from(m.queries),
                time: m.ended_at,
                flags: 0,
            },
        );
    }
}

/// A statement that still streams.
#[inline(never)]
pub fn progress(c: &Connection, rows_exact: u64, rows_estimated: u64, now: u64) {
    let sent = emit(|record: &mut ProgressRecord| {
        *record = ProgressRecord {
            header: header(RecordKind::Progress, 0, 0, c.id),
            fingerprint: c.front.fingerprint,
            rows_exact,
            rows_estimated,
            bytes_sent: c.sent,
            bytes_received: c.received,
            started: exact(c.front.started, now),
            time: now,
        };
        record.header.detail = u32::from(c.ordinal);
    });
    if !sent {
        overflow(
            c,
            &Outcome {
                fingerprint: c.front.fingerprint,
                rows_returned: rows_exact as i64,
                ended: now,
                ..Outcome::default()
            },
        );
    }
}

/// Bytes of a phase that is not parsed, or the change to another phase.
#[inline(never)]
pub fn phase(c: &Connection) {
    let time = now();
    let sent = emit(|record: &mut PhaseRecord| {
        *record = PhaseRecord {
            header: header(RecordKind::Phase, 0, c.phase, c.id),
            time,
            bytes_sent: c.sent,
            bytes_received: c.received,
        };
    });
    if !sent {
        overflow(
            c,
            &Outcome {
                ended: time,
                ..Outcome::default()
            },
        );
    }
}

/// The connection ended; `socket_*` are TCP's own counts.
///
/// Lost with a full ring, the process's exit or userspace's own look at /proc ends the connection.
#[inline(never)]
pub fn closed(c: &Connection, socket_sent: u32, socket_received: u32) {
    let time = now();
    emit(|record: &mut CloseRecord| {
        *record = CloseRecord {
            header: header(RecordKind::Close, 0, 0, c.id),
            time,
            seen_sent: c.seen_sent,
            seen_received: c.seen_received,
            socket_sent,
            socket_received,
        };
    });
}

/// A key by which a statement picks its rows; the parts of a `Pick`.
///
/// A call of its own with all arguments in registers: inlined, its live values lie in the frames of the loop's body
/// and of the loop, and before Linux 6.13 all nested calls together have 512 bytes of stack.
#[inline(never)]
pub fn key(scratch: &mut Scratch, hash: u64, order: u64, flags: u8) {
    let (connection, fingerprint) = (scratch.keyer.connection, scratch.keyer.fingerprint);
    let mut run = 0;
    if flags & KEYS_FIRST != 0 && flags & (KEYS_KEY | KEYS_BOUND) != 0 {
        let key = &mut scratch.walked_key;
        key.connection = connection;
        key.fingerprint = fingerprint;
        if let Some(walked) = WALKS.get_ptr_mut(&*key) {
            // SAFETY: a connection's operations come one after the other.
            run = unsafe { (*walked).next(order) };
        } else {
            let walked = &mut scratch.walked;
            walked.last = order;
            walked.up = 0;
            walked.down = 0;
            let _ = WALKS.insert(&*key, &*walked, 0);
        }
    }
    if flags & KEYS_CUT != 0 {
        count!(cut_keys, 1);
    }
    let sent = emit(|record: &mut KeysRecord| {
        *record = KeysRecord {
            header: header(RecordKind::Keys, flags, run, connection),
            fingerprint,
            hash,
        };
    });
    if !sent {
        count!(lost_keys, 1);
    }
}

/// Not on the stack: before Linux 6.13 all nested calls together have 512 bytes of it.
static NOTHING: OverflowVolume = OverflowVolume {
    // SAFETY: all fields are integers.
    ..unsafe { core::mem::zeroed() }
};

/// Keeps the volume of a connection's record that found no place.
#[inline(always)]
pub fn overflow(c: &Connection, outcome: &Outcome) {
    keep(
        &OverflowKey {
            connection: c.id,
            fingerprint: outcome.fingerprint,
        },
        &OverflowVolume {
            rows_returned: outcome.rows_returned,
            rows_written: outcome.rows_written,
            bytes_sent: c.sent,
            bytes_received: c.received,
            queries: u64::from(outcome.queries),
            records: 1,
            time: outcome.ended,
            flags: u64::from(outcome.flags),
        },
    );
}

/// Adds to the overflow map.
#[inline(always)]
fn keep(key: &OverflowKey, add: &OverflowVolume) {
    count!(ring_full, 1);
    if OVERFLOW.get_ptr(key).is_none() {
        // Zero, then add: what another CPU put there in between stays.
        let _ = OVERFLOW.insert(key, &NOTHING, 1);
    }
    if let Some(volume) = OVERFLOW.get_ptr_mut(key) {
        // SAFETY: one connection is served by one process at a time, and userspace only reads.
        let volume = unsafe { &mut *volume };
        volume.rows_returned += add.rows_returned;
        volume.rows_written += add.rows_written;
        volume.bytes_sent += add.bytes_sent;
        volume.bytes_received += add.bytes_received;
        volume.queries += add.queries;
        volume.records += add.records;
        volume.time = add.time;
        volume.flags |= add.flags;
    } else {
        count!(lost_rows, add.rows_returned as u64 + add.rows_written);
        count!(lost_bytes, add.bytes_sent + add.bytes_received);
        count!(lost_queries, add.queries);
    }
}

/// A text from the window, `length` bytes at `start`, by way of the buffer in this place; false when the ring is full.
#[inline(always)]
pub fn text(
    place: u32,
    kind: RecordKind,
    tag: u8,
    connection: u64,
    fingerprint: u64,
    window: &mut Window,
    start: u32,
    length: u32,
    truncated: bool,
) -> bool {
    let Some(buffer) = TEXTS.get_ptr_mut(place) else {
        return false;
    };
    // The verifier wants the bound right in front of the helper.
    let length = opaque(length) & PART_MASK;
    // SAFETY: this CPU's buffer; the length is masked to less than its size.
    unsafe {
        (*buffer).header = TextHeader {
            header: RecordHeader {
                kind: kind as u8,
                flags: if truncated { TEXT_TRUNCATED } else { 0 },
                tag,
                link: 0,
                detail: length,
                connection,
            },
            fingerprint,
        };
        bpf_probe_read_kernel(
            (&raw mut (*buffer).data).cast(),
            length,
            window.part_at(start).cast_const().cast(),
        );
        bpf_ringbuf_output(
            raw(&RING),
            buffer.cast(),
            u64::from(length) + size_of::<TextHeader>() as u64,
            NO_WAKEUP,
        ) == 0
    }
}
