//! What the protocol code needs from the kernel: memory of the process, maps, clock, ring.

use core::ffi::c_void;

use aya_ebpf::helpers::generated::{bpf_probe_read_kernel, bpf_probe_read_user};
#[cfg(floor)]
use aya_ebpf::{btf_maps::PerCpuArray, macros::btf_map};
use sensor_ebpf::{
    bytes::{COPY_MASK, PART_MASK, opaque},
    connection::{
        Connection, HALF, MYSQL_PLAIN, NameKey, PARTIAL, Protocol, QUEUE, Queue, REQUEST_SYNC,
        Request,
    },
    fingerprint::{Dialect, Hashed, Postgres, fingerprint},
    loops::{Step, repeat},
    picked::{self, Pick, Picker, bucket},
    protocol::{Several, Surroundings, postgres::mergeable, redis},
    record::{ALWAYS, PhaseRecord, RecordKind, StartupKind, TEXT_PLAIN},
    scratch::Scratch,
    sqlstate,
};
#[cfg(not(floor))]
use sensor_ebpf::{fingerprint::MySql, protocol::mysql, tags};

use crate::{
    home::Home,
    hook::registers::{self, Buffer, read_user},
    links,
    maps::{CREATE, NAMES, PLANS, SCRATCH, SEEN, count, setting},
    merge, ring,
};

/// The surroundings of one operation.
pub struct KernelSurroundings<H> {
    /// Where what is rarely needed lies.
    pub home: H,
    /// The process's buffer.
    pub buffer: Buffer,
    /// This CPU's working memory.
    pub scratch: *mut Scratch,
}

/// Ticks between two progress records of a slow result: 25 to 250 ms, as the kernel is configured.
const PROGRESS_TICKS: u32 = 25;

/// A fingerprint is taken for known without asking so many nanoseconds after its first text.
const SETTLED: u64 = 1_000_000_000;

/// Entries of an `iovec` array that are followed: as many as the kernel takes (`UIO_MAXIOV`).
#[cfg(not(floor))]
const VECTORS: u32 = 1024;
/// Likewise; no server that is followed on the lowest rung has more than a few.
#[cfg(floor)]
const VECTORS: u32 = 64;
/// Turns that takes: each is copied from and passed over, and what is more than a copy holds takes another.
const TURNS: u32 = 2 * VECTORS + 2;

impl<H: Home> Surroundings for KernelSurroundings<H> {
    #[inline(always)]
    fn scratch(&mut self) -> &mut Scratch {
        // SAFETY: this CPU's slot; programs do not migrate, and one program runs on a CPU at a time.
        unsafe { &mut *self.scratch }
    }

    #[inline(always)]
    fn read(&mut self, offset: u32, length: u32, position: u32) -> bool {
        if !H::SCATTERED || self.buffer.vectors == 0 {
            let address = self.buffer.address + u64::from(offset);
            if copy(self.window().copy_at(position), length, address) {
                return true;
            }
            // Paged out or unmapped by another thread.
            count!(fault_bytes, u64::from(length));
            return false;
        }
        gather(&self.buffer, offset, length, position, H::place())
    }

    #[inline(always)]
    fn now(&mut self) -> u64 {
        ring::now()
    }

    #[inline(always)]
    fn address(&self) -> Option<u64> {
        (self.buffer.vectors == 0).then_some(self.buffer.address)
    }

    #[inline(always)]
    fn is_cut(&self, length: u32) -> bool {
        // Of a TLS library's functions, each takes all or fails.
        H::SCATTERED && registers::asked().is_some_and(|asked| asked > u64::from(length))
    }

    #[inline(always)]
    fn read_at(&mut self, address: u64, length: u32, position: u32) -> bool {
        copy(self.window().copy_at(position), length, address)
    }

    #[inline(always)]
    fn ticks(&self) -> u64 {
        ring::ticks()
    }

    #[inline(always)]
    fn keys(&self) -> [u64; 2] {
        [setting!(fingerprint_keys[0]), setting!(fingerprint_keys[1])]
    }

    #[inline(always)]
    fn fingerprint<D: Dialect>(&mut self, start: u32, end: u32, dialect: D) -> Hashed {
        if D::MYSQL {
            #[cfg(not(floor))]
            hash_mysql_text(start, end, u32::from(dialect.is_plain()), H::place());
        } else {
            hash_text(start, end, H::place());
        }
        #[cfg(not(floor))]
        if setting!(tags[tags::LENGTH as usize]) != 0 && find_tags(start, H::place()) != 0 {
            mark_text(H::place());
        }
        let _ = dialect;
        self.scratch().hashed
    }

    #[inline(always)]
    fn skim_after(&self) -> u64 {
        setting!(skim_after)
    }

    #[inline(always)]
    fn progress_due(&self, bytes: u64, reported_at: u32) -> bool {
        bytes >= setting!(progress_bytes)
            || bytes >= 4096 && (self.ticks() as u32).wrapping_sub(reported_at) >= PROGRESS_TICKS
    }

    #[inline(always)]
    fn text(
        &mut self,
        c: &mut Connection,
        fingerprint: u64,
        start: u32,
        length: u32,
        truncated: bool,
    ) -> bool {
        if c.known_fingerprint == fingerprint {
            return false;
        }
        // SAFETY: copied out at once.
        let seen = SEEN.get_ptr(&fingerprint).map(|since| unsafe { *since });
        match seen {
            Some(ALWAYS) | None => {
                let sent = ring::text(
                    H::place(),
                    RecordKind::Text,
                    language(c),
                    c.id,
                    fingerprint,
                    self.window(),
                    start,
                    length,
                    truncated,
                );
                // Remembered only when it left: a full ring delays a text, no more.
                if sent && seen.is_none() {
                    let _ = SEEN.insert(&fingerprint, &(self.ticks() | 1), 0);
                }
            }
            // Userspace has had the time to say that it wants every text of this fingerprint. The tick may be the one behind this.
            Some(since)
                if self.ticks().saturating_sub(since) * u64::from(setting!(tick)) > SETTLED =>
            {
                c.known_fingerprint = fingerprint;
            }
            Some(_) => {}
        }
        seen == Some(ALWAYS)
    }

    #[inline(always)]
    fn link(&mut self, c: &mut Connection, fingerprint: u64, start: u32, end: u32) -> bool {
        links::tell(c, fingerprint, start, end, H::place())
    }

    #[inline(always)]
    fn sqlstate(&mut self, start: u32, end: u32) -> u32 {
        find_sqlstate(start, end, H::place())
    }

    #[inline(always)]
    fn startup(
        &mut self,
        c: &mut Connection,
        kind: StartupKind,
        start: u32,
        length: u32,
        truncated: bool,
    ) {
        if !ring::text(
            H::place(),
            RecordKind::Startup,
            kind as u8,
            c.id,
            0,
            self.window(),
            start,
            length,
            truncated,
        ) {
            count!(ring_full, 1);
        }
    }

    #[inline(always)]
    fn merge(&mut self, c: &mut Connection, several: &Several) -> bool {
        merge::add(c, several)
    }

    #[inline(always)]
    fn merge_run(&mut self, c: &mut Connection) -> bool {
        // SAFETY: this CPU's slot, see `Self::scratch`; what is added to lies elsewhere.
        merge::add(c, unsafe { &(*self.scratch).run.several })
    }

    #[inline(always)]
    fn flush(&mut self, c: &mut Connection) {
        merge::flush(c);
    }

    #[inline(always)]
    fn statement(&mut self, c: &Connection) {
        ring::statement(c, &self.scratch().walk.outcome);
    }

    #[inline(always)]
    fn progress(&mut self, c: &Connection, rows_exact: u64, rows_estimated: u64, now: u64) {
        ring::progress(c, rows_exact, rows_estimated, now);
    }

    #[inline(always)]
    fn phase(&mut self, c: &Connection) {
        ring::phase(c);
    }

    #[inline(always)]
    fn phase_entered(&mut self, c: &Connection) {
        let time = ring::now();
        // Only informs: lost with a full ring, nothing is miscounted.
        ring::emit(|record: &mut PhaseRecord| {
            *record = PhaseRecord {
                header: ring::header(RecordKind::Phase, 0, c.phase, c.id),
                time,
                bytes_sent: 0,
                bytes_received: 0,
            };
        });
    }

    #[inline(always)]
    fn closed(&mut self, c: &Connection) {
        let (sent, received) = if c.base_sent == 0 && c.base_received == 0 {
            (0, 0)
        } else {
            let (sent, received) = self.home.tcp_counts(c);
            (
                sent.wrapping_sub(c.base_sent),
                received.wrapping_sub(c.base_received),
            )
        };
        ring::closed(c, sent, received);
        self.home.forget(c);
    }

    #[inline(always)]
    fn remember(&mut self, c: &Connection, name: u64, fingerprint: u64) {
        let key = NameKey {
            connection: c.id,
            name,
        };
        let _ = NAMES.insert(&key, &fingerprint, 0);
    }

    #[inline(always)]
    fn recall(&mut self, c: &Connection, name: u64) -> u64 {
        let key = NameKey {
            connection: c.id,
            name,
        };
        // SAFETY: copied out at once.
        NAMES.get_ptr(&key).map_or(0, |value| unsafe { *value })
    }

    #[inline(always)]
    fn push(&mut self, c: &mut Connection, request: Request) -> bool {
        let is_redis = c.protocol == Protocol::Redis as u8;
        let Some(queue) = self.home.queue(CREATE) else {
            count!(merged_pipeline, 1);
            return is_redis && redis::changes(&request);
        };
        if c.outstanding == 1 {
            queue.head = 0;
            queue.length = 0;
        }
        let newest = queue.head + queue.length - 1;
        if queue.length > 0
            && let Some(last) = slot(&self.home, queue, newest, 0)
            && mergeable(last, &request)
        {
            last.count += 1;
            return false;
        }
        let next = if queue.length < QUEUE as u32 {
            slot(&self.home, queue, newest + 1, CREATE)
        } else {
            None
        };
        let Some(next) = next else {
            // Deeper than what is kept apart: the newest stand for all, under no statement's name.
            count!(merged_pipeline, 1);
            let Some(last) = slot(&self.home, queue, newest, 0) else {
                return is_redis && redis::changes(&request);
            };
            let lost = is_redis && (redis::changes(last) || redis::changes(&request));
            if is_redis {
                // Whatever is answered is data.
                last.limit = 0;
            }
            last.fingerprint = 0;
            last.link = 0;
            last.count = last.count.saturating_add(request.count);
            last.flags |= request.flags & REQUEST_SYNC;
            return lost;
        };
        *next = request;
        queue.length += 1;
        c.outstanding += 1;
        false
    }

    #[inline(always)]
    fn pop(&mut self, c: &mut Connection) {
        pop(&self.home, c);
    }

    #[inline(always)]
    fn sync_last(&mut self, _: &mut Connection) -> bool {
        match self.home.queue(0) {
            Some(queue) if queue.length > 0 => {
                let newest = queue.head + queue.length - 1;
                let Some(last) = slot(&self.home, queue, newest, 0) else {
                    return true;
                };
                if last.flags & REQUEST_SYNC != 0 {
                    return false;
                }
                last.flags |= REQUEST_SYNC;
                true
            }
            _ => true,
        }
    }

    #[inline(always)]
    fn save_partial(&mut self, position: u32, length: u32) -> bool {
        let Some(partial) = self.home.partial(CREATE) else {
            return false;
        };
        let length = opaque(length) & 0x1fff;
        if length > PARTIAL as u32 {
            return false;
        }
        let source = self.window().at(position);
        // SAFETY: bounded right above.
        unsafe {
            bpf_probe_read_kernel(
                (&raw mut partial.data).cast(),
                length,
                source.cast_const().cast(),
            ) == 0
        }
    }

    #[inline(always)]
    fn restore_partial(&mut self, position: u32, length: u32) -> bool {
        let Some(partial) = self.home.partial(0) else {
            return false;
        };
        let length = opaque(length) & 0x1fff;
        if length > PARTIAL as u32 {
            return false;
        }
        // SAFETY: bounded right above; the window takes any copy of less than `COPY_MASK` bytes.
        unsafe {
            bpf_probe_read_kernel(
                self.window().copy_at(position).cast(),
                length,
                (&raw const partial.data).cast(),
            ) == 0
        }
    }

    #[inline(always)]
    fn drop_partial(&mut self) {
        self.home.drop_partial();
    }

    #[inline(always)]
    fn plan(&mut self, fingerprint: u64) -> u64 {
        // SAFETY: userspace replaces a bucket as a whole; a torn one costs a hash.
        PLANS
            .get_ptr(bucket(fingerprint))
            .map_or(0, |bucket| unsafe { (*bucket).find(fingerprint) })
    }

    #[inline(always)]
    fn pick(
        &mut self,
        c: &Connection,
        fingerprint: u64,
        plan: u64,
        start: u32,
        end: u32,
        bound: bool,
    ) {
        let keyer = &mut self.scratch().keyer;
        keyer.connection = c.id;
        keyer.fingerprint = fingerprint;
        #[cfg(floor)]
        crate::floor::pick(plan, start, end, bound);
        #[cfg(not(floor))]
        if bound {
            hash_parameters(plan, start, end, H::place());
        } else {
            hash_literals(plan, start, end, H::place());
        }
    }

    #[cfg(not(floor))]
    #[inline(always)]
    fn behind_attributes(&mut self, start: u32, end: u32, says_so: bool) -> u32 {
        pass_over_attributes(start, end, u32::from(says_so), H::place())
    }

    #[cfg(floor)]
    fn behind_attributes(&mut self, _: u32, _: u32, _: bool) -> u32 {
        0
    }

    #[cfg(not(floor))]
    #[inline(always)]
    fn redis_head(&mut self) -> u32 {
        take_redis_head(H::place())
    }

    #[cfg(floor)]
    fn redis_head(&mut self) -> u32 {
        0
    }

    #[inline(always)]
    fn count_truncated(&mut self) {
        count!(truncated_texts, 1);
    }

    #[cfg(not(floor))]
    #[inline(always)]
    fn sees_plaintext(&self) -> bool {
        crate::tls::is_seen()
    }
}

/// See [`fingerprint`]; the result lies in the working memory.
///
/// A global function, by its C name and linkage: the verifier checks it once for any arguments and not again for each of
/// the ways that lead to it.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn hash_text(start: u32, end: u32, place: u32) -> u32 {
    let Some(scratch) = SCRATCH.get_ptr_mut(place) else {
        return 0;
    };
    // SAFETY: this CPU's slot, see `KernelSurroundings::scratch`.
    let scratch = unsafe { &mut *scratch };
    let keys = [setting!(fingerprint_keys[0]), setting!(fingerprint_keys[1])];
    scratch.hashed = fingerprint(scratch, start, end, keys, Postgres);
    1
}

/// The same by MySQL's rules; `plain`: see [`Dialect::is_plain`].
#[cfg(not(floor))]
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn hash_mysql_text(start: u32, end: u32, plain: u32, place: u32) -> u32 {
    let Some(scratch) = SCRATCH.get_ptr_mut(place) else {
        return 0;
    };
    // SAFETY: this CPU's slot, see `KernelSurroundings::scratch`.
    let scratch = unsafe { &mut *scratch };
    let keys = [setting!(fingerprint_keys[0]), setting!(fingerprint_keys[1])];
    let dialect = MySql { plain: plain != 0 };
    scratch.hashed = fingerprint(scratch, start, end, keys, dialect);
    1
}

/// See [`mysql::text_start`]. Global, as [`hash_text`] is.
#[cfg(not(floor))]
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn pass_over_attributes(start: u32, end: u32, says_so: u32, place: u32) -> u32 {
    let Some(scratch) = SCRATCH.get_ptr_mut(place) else {
        return 0;
    };
    // SAFETY: this CPU's slot, see `KernelSurroundings::scratch`.
    mysql::text_start(unsafe { &mut *scratch }, start, end, says_so != 0)
}

/// See [`redis::head`]. Global, as [`hash_text`] is.
#[cfg(not(floor))]
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn take_redis_head(place: u32) -> u32 {
    let Some(scratch) = SCRATCH.get_ptr_mut(place) else {
        return 0;
    };
    // SAFETY: this CPU's slot, see `KernelSurroundings::scratch`.
    let scratch = unsafe { &mut *scratch };
    let keys = [setting!(fingerprint_keys[0]), setting!(fingerprint_keys[1])];
    redis::head(scratch, keys)
}

/// Looks for tags in the text that was hashed; zero when it ends in no comment of that kind. Global, as [`hash_text`] is, and
/// apart from that and from [`mark_text`]: together they need more stack than there is.
#[cfg(not(floor))]
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn find_tags(start: u32, place: u32) -> u32 {
    let Some(scratch) = SCRATCH.get_ptr_mut(place) else {
        return 0;
    };
    // SAFETY: this CPU's slot, see `KernelSurroundings::scratch`.
    let scratch = unsafe { &mut *scratch };
    let end = start + scratch.hashed.length;
    u32::from(tags::find(scratch, start, end, Configured))
}

/// What they say becomes part of the text's fingerprint. Global, as [`hash_text`] is.
#[cfg(not(floor))]
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn mark_text(place: u32) -> u32 {
    let Some(scratch) = SCRATCH.get_ptr_mut(place) else {
        return 0;
    };
    // SAFETY: this CPU's slot, see `KernelSurroundings::scratch`.
    let scratch = unsafe { &mut *scratch };
    let key = setting!(fingerprint_keys[0]);
    scratch.hashed.fingerprint = tags::mark(scratch, scratch.hashed.fingerprint, key);
    1
}

/// The configured tags.
#[cfg(not(floor))]
#[derive(Clone, Copy)]
struct Configured;

#[cfg(not(floor))]
impl tags::Sought for Configured {
    #[inline(always)]
    fn number(self, at: u32) -> u64 {
        // In bounds as far as the verifier can tell, and without a way into a panic.
        // SAFETY: masked to less than the array's length, a power of two.
        unsafe {
            let numbers = (&raw const crate::maps::SETTINGS.tags).cast::<u64>();
            core::ptr::read_volatile(numbers.add((opaque(at) & tags::LAST) as usize))
        }
    }
}

/// See [`sqlstate::find`]. Global, as [`hash_text`] is.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn find_sqlstate(start: u32, end: u32, place: u32) -> u32 {
    let Some(scratch) = SCRATCH.get_ptr_mut(place) else {
        return 0;
    };
    // SAFETY: this CPU's slot, see `KernelSurroundings::scratch`.
    sqlstate::find(unsafe { &mut (*scratch).window }, start, end)
}

/// See [`picked::literals`]. Global, as [`hash_text`] is.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn hash_literals(plan: u64, start: u32, end: u32, place: u32) -> u32 {
    let Some(scratch) = SCRATCH.get_ptr_mut(place) else {
        return 0;
    };
    let keys = [setting!(record_keys[0]), setting!(record_keys[1])];
    picked::literals(&mut KernelPicker { scratch }, plan, start, end, keys);
    1
}

/// See [`picked::parameters`]. Global, as [`hash_text`] is.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn hash_parameters(plan: u64, start: u32, end: u32, place: u32) -> u32 {
    let Some(scratch) = SCRATCH.get_ptr_mut(place) else {
        return 0;
    };
    let keys = [setting!(record_keys[0]), setting!(record_keys[1])];
    picked::parameters(&mut KernelPicker { scratch }, plan, start, end, keys);
    1
}

/// Hands keys to the ring.
pub struct KernelPicker {
    /// This CPU's working memory.
    pub scratch: *mut Scratch,
}

impl Picker for KernelPicker {
    #[inline(always)]
    fn scratch(&mut self) -> &mut Scratch {
        // SAFETY: this CPU's slot, see `KernelSurroundings::scratch`.
        unsafe { &mut *self.scratch }
    }

    #[inline(always)]
    fn picked(&mut self, pick: Pick) {
        ring::key(self.scratch(), pick.hash, pick.order, pick.flags);
    }
}

/// In which language a connection's texts are written.
#[inline(always)]
fn language(c: &Connection) -> u8 {
    if c.mysql.flags & MYSQL_PLAIN != 0 {
        c.protocol | TEXT_PLAIN
    } else {
        c.protocol
    }
}

/// Copies from the process's memory to the window.
#[inline(always)]
fn copy(destination: *mut u8, length: u32, address: u64) -> bool {
    // SAFETY: the destination is `Window::copy_at`, which takes any length below `COPY_MASK`.
    unsafe {
        bpf_probe_read_user(
            destination.cast(),
            opaque(length) & COPY_MASK,
            address as *const c_void,
        ) == 0
    }
}

/// Reads from a scattered buffer. A call of its own, so that nobody else's stack has to hold the loop's state.
#[cfg(not(floor))]
#[inline(never)]
fn gather(buffer: &Buffer, offset: u32, length: u32, position: u32, place: u32) -> bool {
    let mut gather = Gather {
        vector: buffer.address,
        vectors: buffer.vectors as u16,
        place: place as u16,
        skip: offset,
        rest: length,
        position,
    };
    repeat(TURNS, &mut gather);
    gather.rest == 0
}

/// The same, with the loop's state where its body finds it.
#[cfg(floor)]
#[inline(never)]
fn gather(buffer: &Buffer, offset: u32, length: u32, position: u32, place: u32) -> bool {
    let Some(gather) = GATHER.get_ptr_mut(0) else {
        return false;
    };
    // SAFETY: this CPU's slot; programs do not migrate.
    let gather = unsafe { &mut *gather };
    *gather = Gather {
        vector: buffer.address,
        vectors: buffer.vectors as u16,
        place: place as u16,
        skip: offset,
        rest: length,
        position,
    };
    repeat(TURNS, gather);
    // SAFETY: a plain load of a map value, which the loop's body has changed.
    unsafe { core::ptr::read_volatile(&raw const gather.rest) == 0 }
}

#[cfg(floor)]
#[btf_map]
static GATHER: PerCpuArray<Gather, 1> = PerCpuArray::new();

/// One turn of [`gather`]'s loop.
#[cfg(floor)]
#[inline(always)]
pub fn vector_turn() -> bool {
    // SAFETY: this CPU's slot; programs do not migrate.
    GATHER
        .get_ptr_mut(0)
        .is_some_and(|gather| unsafe { (*gather).step() })
}

/// Puts a range of a scattered buffer together.
#[repr(C)]
struct Gather {
    vector: u64,
    /// The kernel takes no more than [`VECTORS`].
    vectors: u16,
    /// Which working memory.
    place: u16,
    skip: u32,
    rest: u32,
    position: u32,
}

impl Step for Gather {
    #[inline(always)]
    fn step(&mut self) -> bool {
        if self.vectors == 0 || self.rest == 0 {
            return false;
        }
        let Some([address, length]) = read_user::<[u64; 2]>(self.vector) else {
            return false;
        };
        if u64::from(self.skip) >= length {
            self.skip -= length as u32;
            self.vector += 16;
            self.vectors -= 1;
            return true;
        }
        let available = length - u64::from(self.skip);
        let most = if self.rest > PART_MASK {
            PART_MASK
        } else {
            self.rest
        };
        let take = if available > u64::from(most) {
            most
        } else {
            available as u32
        };
        let Some(scratch) = SCRATCH.get_ptr_mut(u32::from(self.place)) else {
            return false;
        };
        // SAFETY: this CPU's working memory, and `Window::part_at`, which takes any length below `PART_MASK`.
        let copied = unsafe {
            bpf_probe_read_user(
                (*scratch).window.part_at(self.position).cast(),
                opaque(take) & PART_MASK,
                (address + u64::from(self.skip)) as *const c_void,
            ) == 0
        };
        if !copied {
            return false;
        }
        // What is left of a vector, if nothing, is passed over in the next turn.
        self.skip += take;
        self.rest -= take;
        self.position += take;
        true
    }

    #[cfg(floor)]
    #[inline(always)]
    fn turn(&mut self) -> bool {
        // SAFETY: finds what this step has in a map.
        unsafe { sensor_ebpf::loops::turns::turn_vector() != 0 }
    }
}

/// The oldest request of the ring becomes the front one. A call of its own, as [`slot`] is.
#[inline(never)]
fn pop<H: Home>(home: &H, c: &mut Connection) {
    match home.queue(0) {
        Some(queue) if queue.length > 0 => {
            let head = queue.head;
            // What is counted there is there.
            c.front = slot(home, queue, head, 0).map_or(Request::NONE, |request| *request);
            queue.head += 1;
            queue.length -= 1;
            c.outstanding -= 1;
        }
        _ => c.outstanding = 0,
    }
}

/// The request at this index, modulo [`QUEUE`], of a ring whose second half lies elsewhere; made when `flags` say so. A
/// call of its own: what it looks up does not lie on the stack while responses are taken apart.
#[inline(never)]
fn slot<'a, H: Home>(
    home: &H,
    queue: &'a mut Queue,
    index: u32,
    flags: u64,
) -> Option<&'a mut Request> {
    let requests = if index & HALF as u32 == 0 {
        &mut queue.requests
    } else {
        &mut home.rest(flags)?.requests
    };
    let index = opaque(index) & (HALF as u32 - 1);
    // SAFETY: masked to the array's length, a power of two.
    Some(unsafe { &mut *requests.as_mut_ptr().add(index as usize) })
}
