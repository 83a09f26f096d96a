//! The maps, all in one place.

use core::ffi::c_void;

#[cfg(not(floor))]
use aya_ebpf::{btf_maps::SkStorage, helpers::generated::bpf_sk_storage_get};
use aya_ebpf::{
    btf_maps::{Array, HashMap, LruHashMap, PerCpuArray, RingBuf},
    macros::btf_map,
};
#[cfg(not(floor))]
use sensor_ebpf::merged::{Merged, WAYS};
use sensor_ebpf::{
    connection::{Connection, NameKey, Partial, Queue, Rest},
    picked::{BUCKETS, Bucket, Walked},
    record::{KernelCounters, OverflowKey, OverflowVolume, TextHeader},
    scratch::Scratch,
    settings::Settings,
};

/// Records to userspace. The loader sets the size.
#[btf_map]
pub static RING: RingBuf<u8, { 8 << 20 }> = RingBuf::new();

/// Volumes whose record found the ring full. Values only grow; userspace reads differences.
#[btf_map]
pub static OVERFLOW: HashMap<OverflowKey, OverflowVolume, 16384> = HashMap::new();

/// State of server-side connections, found by cookie; see `state`. The loader sets the number of slots.
#[btf_map]
pub static SLOTS: Array<Connection, 32768> = Array::new();

/// Completions put together, [`WAYS`] for each slot. The loader sets the number.
#[cfg(not(floor))]
#[btf_map]
pub static MERGED: Array<Merged, { 32768 * WAYS as usize }> = Array::new();

/// Slots with completions put together since the last drain, one bit each. The loader sets the number.
#[cfg(not(floor))]
#[btf_map]
pub static DIRTY: Array<u64, { 32768 / 64 }> = Array::new();

/// Sockets of servers that carry no client's connection.
#[cfg(not(floor))]
#[btf_map]
pub static IGNORED: SkStorage<u64> = SkStorage::new();
/// By number. Least recently used go first: they are looked at again.
#[cfg(floor)]
#[btf_map]
pub static IGNORED: LruHashMap<u64, u64, 16384> = LruHashMap::new();

/// Requests of clients that pipeline.
#[cfg(not(floor))]
#[btf_map]
pub static QUEUES: SkStorage<Queue> = SkStorage::new();
/// By slot. When all are taken, requests of further connections are not kept apart, which is counted.
#[cfg(floor)]
#[btf_map]
pub static QUEUES: HashMap<u64, Queue, 1024> = HashMap::new();

/// The second halves of these.
#[cfg(not(floor))]
#[btf_map]
pub static RESTS: SkStorage<Rest> = SkStorage::new();
/// By slot, likewise.
#[cfg(floor)]
#[btf_map]
pub static RESTS: HashMap<u64, Rest, 1024> = HashMap::new();

/// Beginnings of messages that reads split.
#[cfg(not(floor))]
#[btf_map]
pub static PARTIALS: SkStorage<Partial> = SkStorage::new();
/// By slot. When all are taken, a connection whose messages are split is followed blindly, which is counted.
#[cfg(floor)]
#[btf_map]
pub static PARTIALS: HashMap<u64, Partial, 1024> = HashMap::new();

/// The client's end of local connections; see `client`.
#[cfg(not(floor))]
#[btf_map]
pub static CLIENTS: SkStorage<Client> = SkStorage::new();
/// By number. Least recently used go first: they are announced again.
#[cfg(floor)]
#[btf_map]
pub static CLIENTS: LruHashMap<u64, Client, 16384> = LruHashMap::new();

/// See [`CLIENTS`].
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Client {
    /// `UNKNOWN`, `LOCAL` or `OTHER`.
    pub role: u32,
    /// The process whose record has left, zero before.
    pub announced: u32,
}

/// Sockets, and the processes that use them, about which nothing is left to find out: see `client::mark`.
#[btf_map]
pub static SETTLED: PerCpuArray<u64, { SETTLED_LENGTH as usize }> = PerCpuArray::new();

/// See [`SETTLED`].
pub const SETTLED_LENGTH: u32 = 1024;

/// Fingerprints whose text has left, and when, or `ALWAYS`. Least recently used go first: their text leaves again.
#[btf_map]
pub static SEEN: LruHashMap<u64, u64, 65536> = LruHashMap::new();

/// Named prepared statements and portals. Least recently used go first.
#[btf_map]
pub static NAMES: LruHashMap<NameKey, u64, 65536> = LruHashMap::new();

/// Which literals of a statement are keys, by fingerprint. Userspace writes, a bucket at a time.
#[btf_map]
pub static PLANS: Array<Bucket, { BUCKETS as usize }> = Array::new();

/// How far statements with a plan have walked. Least recently used go first.
#[btf_map]
pub static WALKS: LruHashMap<OverflowKey, Walked, 16384> = LruHashMap::new();

/// Until when the budget of links to applications' traces is used up, in nanoseconds of the kernel's ticks.
#[btf_map]
pub static LINKS: Array<u64, 1> = Array::new();

/// TCP ports that watched servers listen on, one bit each.
#[btf_map]
pub static PORTS: Array<u64, 1024> = Array::new();

/// Sockets that servers had when the programs were attached, by inode, and `settings::LISTED` once all of them stand here. Userspace writes.
#[cfg(not(floor))]
#[btf_map]
pub static OLDER: HashMap<u32, u32, 16384> = HashMap::new();

/// The connection that a server process serves, for its last words: see `server::exited`. As many as slots.
#[btf_map]
pub static BACKENDS: LruHashMap<u32, Backend, 32768> = LruHashMap::new();

/// See [`BACKENDS`].
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Backend {
    /// Number of the connection.
    pub id: u64,
    /// Slot of its state.
    pub slot: u64,
}

/// What could not be done, and why.
#[btf_map]
pub static COUNTERS: PerCpuArray<KernelCounters, 1> = PerCpuArray::new();

/// Working memories; see `program::APART`. The loader sets the number.
#[cfg(not(floor))]
pub const PLACES: usize = 5;
#[cfg(floor)]
const PLACES: usize = 1;

/// Working memory.
#[btf_map]
pub static SCRATCH: PerCpuArray<Scratch, PLACES> = PerCpuArray::new();

/// A text on its way into the ring, header in front.
#[btf_map]
pub static TEXTS: PerCpuArray<TextBuffer, PLACES> = PerCpuArray::new();

/// See [`TEXTS`].
#[repr(C)]
pub struct TextBuffer {
    /// Header.
    pub header: TextHeader,
    /// Text.
    pub data: [u8; 8192],
}

/// What the loader says; replaced before the programs are loaded.
#[unsafe(no_mangle)]
pub static SETTINGS: Settings = Settings {
    fingerprint_keys: [0; 2],
    record_keys: [0; 2],
    slot_mask: 0,
    tick: 0,
    // SAFETY: all fields are integers.
    offsets: unsafe { core::mem::zeroed() },
    commands: [[0; 2]; sensor_ebpf::settings::COMMANDS],
    skim_after: 0,
    progress_bytes: 0,
    loaded_at: 0,
    netns: 0,
    link_interval: 0,
    tls: 0,
    mysql_commands: 0,
    redis_commands: 0,
    doubled: 0,
    holds: 0,
    holds_in_library: 0,
    places: [0; _],
    tags: [0; _],
};

/// A setting. Volatile, or the compiler would take the zeroes above for the truth.
macro_rules! setting {
    ($($field:tt)+) => {
        // SAFETY: reads a static.
        unsafe { core::ptr::read_volatile(&raw const $crate::maps::SETTINGS.$($field)+) }
    };
}
pub(crate) use setting;

/// Adds to one of the counters of this CPU.
macro_rules! count {
    ($field:ident, $amount:expr) => {
        if let Some(counters) = $crate::maps::COUNTERS.get_ptr_mut(0) {
            // SAFETY: this CPU's slot; programs do not migrate. One that is preempted in between loses a count at worst.
            unsafe { (*counters).$field += $amount };
        }
    };
}
pub(crate) use count;

/// `BPF_SK_STORAGE_GET_F_CREATE`.
pub const CREATE: u64 = 1;

/// A socket's storage in one of the maps; created when `flags` say so.
#[cfg(not(floor))]
#[inline(always)]
pub fn storage<'a, T>(map: *mut c_void, sk: *mut c_void, flags: u64) -> Option<&'a mut T> {
    // SAFETY: map and socket are what the helper wants; the storage lives as long as the socket, which is held by the
    // operation that runs.
    unsafe {
        bpf_sk_storage_get(map, sk, core::ptr::null_mut(), flags)
            .cast::<T>()
            .as_mut()
    }
}

/// What one of the maps keeps of the socket at hand; created when `flags` say so.
#[cfg(floor)]
#[inline(always)]
pub fn storage<'a, T: crate::floor::Stored>(
    map: *mut c_void,
    _: *mut c_void,
    flags: u64,
) -> Option<&'a mut T> {
    crate::floor::storage(map, flags)
}

/// A map as the helpers want it that the wrappers above do not offer.
#[inline(always)]
pub fn raw<M>(map: &'static M) -> *mut c_void {
    core::ptr::from_ref(map).cast_mut().cast()
}
