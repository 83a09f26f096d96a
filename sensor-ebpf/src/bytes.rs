//! The window: memory into which the bytes of one socket operation are copied before they are parsed.

use crate::connection::{PARTIAL, TAIL};

/// Bytes of an operation that are looked at in one piece.
pub const CHUNK: u32 = 8192;
/// Where bytes begin in the window: the few before are room for looking back.
pub const BASE: u32 = 64;
/// Positions are masked with this, which is how the verifier knows that they are in bounds.
const MASK: u32 = 0x3fff;
/// Slack behind the last maskable position: reads of up to 64 bytes need no check of their own, and a copy of a masked
/// length to a masked position ends inside as far as the verifier can tell (0x1fff + 0x3fff).
const SLACK: usize = 8192 + 64;

/// Lengths of copies into the window are masked with this.
pub const COPY_MASK: u32 = MASK;
/// Likewise of copies to where [`Window::part_at`] says.
pub const PART_MASK: u32 = 0x1fff;

const _: () = assert!(BASE as usize >= TAIL && BASE + PARTIAL as u32 + CHUNK <= MASK);

/// See the module.
#[repr(C, align(8))]
pub struct Window {
    data: [u8; MASK as usize + 1 + SLACK],
}

/// Hides where a value comes from, so that LLVM cannot drop a mask that it believes superfluous but the verifier
/// needs: LLVM knows bounds that the verifier does not track (e.g. through memory).
#[inline(always)]
pub fn opaque(value: u32) -> u32 {
    #[cfg(target_arch = "bpf")]
    {
        let mut value = u64::from(value);
        // A move to itself, not nothing: the kernel refuses line information for two lines at one instruction.
        // SAFETY: changes no register but its own.
        unsafe {
            core::arch::asm!("{0} = {0}", inout(reg) value, options(pure, nomem, nostack, preserves_flags));
        }
        value as u32
    }
    #[cfg(not(target_arch = "bpf"))]
    value
}

/// Eight bytes as they lie in memory, the first in the lowest bits.
///
/// LLVM believes that BPF can load words at their own multiples only, and would put each together from single bytes, in
/// two dozen instructions. All processors that the sensor runs on load them from anywhere, and their kernels' verifiers
/// allow it in a map's value (not on the stack, so it can't be switched on for all code).
///
/// # Safety
/// Eight bytes can be read at `place`.
#[inline(always)]
pub unsafe fn load64(place: *const u8) -> u64 {
    #[cfg(target_arch = "bpf")]
    {
        let word: u64;
        // SAFETY: one load, of what the caller promises.
        unsafe {
            core::arch::asm!(
                "{word} = *(u64 *)({place} + 0)",
                word = lateout(reg) word,
                place = in(reg) place,
                options(pure, readonly, nostack, preserves_flags)
            );
        }
        u64::from_le(word)
    }
    // SAFETY: the caller's promise.
    #[cfg(not(target_arch = "bpf"))]
    unsafe {
        u64::from_le(place.cast::<u64>().read_unaligned())
    }
}

/// Writes eight bytes: see [`load64`].
///
/// # Safety
/// Eight bytes can be written at `place`.
#[inline(always)]
pub unsafe fn store64(place: *mut u8, word: u64) {
    let word = word.to_le();
    #[cfg(target_arch = "bpf")]
    // SAFETY: one store, where the caller promises.
    unsafe {
        core::arch::asm!(
            "*(u64 *)({place} + 0) = {word}",
            word = in(reg) word,
            place = in(reg) place,
            options(nostack, preserves_flags)
        );
    }
    // SAFETY: the caller's promise.
    #[cfg(not(target_arch = "bpf"))]
    unsafe {
        place.cast::<u64>().write_unaligned(word);
    }
}

/// LLVM keeps no memory in registers across this, and moves no load or store over it.
#[inline(always)]
pub fn barrier() {
    #[cfg(target_arch = "bpf")]
    {
        let mut value = 0u64;
        // SAFETY: changes nothing; LLVM must believe that it changes any memory. A move, see `opaque`.
        unsafe {
            core::arch::asm!("{0} = {0}", inout(reg) value, options(nostack, preserves_flags));
        }
        let _ = value;
    }
}

/// Tells LLVM that what this refers to is known elsewhere, too: functions that are called later may read and change it,
/// though they are not given it. Otherwise a `&mut` says that they do not.
#[cfg(floor)]
#[inline(always)]
pub fn escape<T>(place: &mut T) {
    // SAFETY: changes nothing; LLVM must believe that it keeps the address, and changes any memory. A move, see `opaque`.
    unsafe {
        core::arch::asm!("{0} = {0}", inout(reg) core::ptr::from_mut(place) => _, options(nostack, preserves_flags));
    }
}

impl Window {
    /// An empty window (tests; in the kernel it is a per-CPU map value).
    #[cfg(not(target_arch = "bpf"))]
    pub fn boxed() -> Box<Self> {
        Box::new(Self {
            data: [0; MASK as usize + 1 + SLACK],
        })
    }

    /// Fills all from `position` on, so that what is read beyond a copy's end makes a difference.
    #[cfg(all(not(target_arch = "bpf"), any(test, feature = "simulation")))]
    pub fn spoil(&mut self, position: u32, byte: u8) {
        self.data[position as usize..].fill(byte);
    }

    /// Pointer to `position`, with at least 64 readable bytes behind it.
    #[inline(always)]
    pub fn at(&mut self, position: u32) -> *mut u8 {
        // The mask is for the verifier: nobody counts on it.
        #[cfg(all(not(target_arch = "bpf"), any(test, feature = "simulation")))]
        assert!(position <= MASK, "outside of the window: {position}");
        self.somewhere(position)
    }

    #[inline(always)]
    fn somewhere(&mut self, position: u32) -> *mut u8 {
        let position = opaque(position) & MASK;
        // SAFETY: masked to less than the array's length less the slack.
        unsafe { self.data.as_mut_ptr().add(position as usize) }
    }

    /// Pointer to `position` (below 8192) for copies of up to [`COPY_MASK`] bytes.
    #[inline(always)]
    pub fn copy_at(&mut self, position: u32) -> *mut u8 {
        let position = opaque(position) & 0x1fff;
        // SAFETY: masked to less than the array's length less what a copy may take.
        unsafe { self.data.as_mut_ptr().add(position as usize) }
    }

    /// Pointer to `position`, wherever that is, for copies of up to [`PART_MASK`] bytes.
    #[inline(always)]
    pub fn part_at(&mut self, position: u32) -> *mut u8 {
        let position = opaque(position) & MASK;
        // SAFETY: likewise: what the one mask has more, the other has less.
        unsafe { self.data.as_mut_ptr().add(position as usize) }
    }

    /// The byte at `position`.
    #[inline(always)]
    pub fn byte(&mut self, position: u32) -> u8 {
        // SAFETY: `at` gives readable memory.
        unsafe { self.at(position).read() }
    }

    /// Sets the byte at `position`.
    #[inline(always)]
    pub fn set(&mut self, position: u32, value: u8) {
        // SAFETY: `at` gives writable memory.
        unsafe { self.at(position).write(value) };
    }

    /// A big-endian `Int32` of the protocol.
    #[inline(always)]
    pub fn be32(&mut self, position: u32) -> u32 {
        // SAFETY: eight bytes lie within the slack.
        u32::from_be(unsafe { load64(self.at(position)) } as u32)
    }

    /// Eight bytes as they lie in memory, the first in the lowest bits.
    #[inline(always)]
    pub fn le64(&mut self, position: u32) -> u64 {
        // SAFETY: eight bytes lie within the slack.
        unsafe { load64(self.at(position)) }
    }

    /// Like [`Self::byte`], of a position that may lie outside of the window: then any byte of it.
    #[inline(always)]
    pub fn byte_or_any(&mut self, position: u32) -> u8 {
        // SAFETY: `somewhere` gives readable memory.
        unsafe { self.somewhere(position).read() }
    }

    /// Like [`Self::be32`], of such a position.
    #[inline(always)]
    pub fn be32_or_any(&mut self, position: u32) -> u32 {
        // SAFETY: eight bytes lie within the slack.
        u32::from_be(unsafe { load64(self.somewhere(position)) } as u32)
    }

    /// Like [`Self::le64`], of such a position.
    #[inline(always)]
    pub fn le64_or_any(&mut self, position: u32) -> u64 {
        // SAFETY: eight bytes lie within the slack.
        unsafe { load64(self.somewhere(position)) }
    }

    /// Writes eight bytes.
    #[inline(always)]
    pub fn set_le64(&mut self, position: u32, value: u64) {
        // SAFETY: eight bytes lie within the slack.
        unsafe { store64(self.at(position), value) };
    }
}

/// Classification of eight bytes at once (SWAR): each function returns a mask with bit 7 set in bytes that match.
/// Only the *lowest* set bit is exact: borrows and carries run upwards.
pub mod swar {
    /// The lowest bit of each byte.
    pub const ONES: u64 = 0x0101_0101_0101_0101;
    /// The highest bit of each byte.
    pub const HIGHS: u64 = 0x8080_8080_8080_8080;

    /// Bytes equal to zero.
    #[inline(always)]
    pub fn zero(word: u64) -> u64 {
        word.wrapping_sub(ONES) & !word & HIGHS
    }

    /// Bytes equal to zero; exact in every byte.
    #[inline(always)]
    pub fn exactly_zero(word: u64) -> u64 {
        !((word & !HIGHS).wrapping_add(!HIGHS) | word) & HIGHS
    }

    /// Bytes equal to `byte`.
    #[inline(always)]
    pub fn equal(word: u64, byte: u8) -> u64 {
        zero(word ^ (ONES * u64::from(byte)))
    }

    /// Bytes below `bound` (at most 128).
    #[inline(always)]
    pub fn below(word: u64, bound: u8) -> u64 {
        word.wrapping_sub(ONES * u64::from(bound)) & !word & HIGHS
    }

    /// Bytes that are no ASCII digit.
    #[inline(always)]
    pub fn not_digit(word: u64) -> u64 {
        let digits = word ^ (ONES * u64::from(b'0'));
        (digits.wrapping_add(ONES * (0x7f - 9)) | digits) & HIGHS
    }

    /// Bytes that are an ASCII digit; exact in every byte.
    #[inline(always)]
    pub fn digits(word: u64) -> u64 {
        let low = (word & !HIGHS) ^ (ONES * u64::from(b'0'));
        !(low.wrapping_add(ONES * (0x7f - 9)) | word) & HIGHS
    }

    /// Bytes that are a letter, an underscore or beyond ASCII; exact in every byte.
    #[inline(always)]
    pub fn letters(word: u64) -> u64 {
        // From 0x40 on (bit 6), the five low bits tell: 1 to 26 is a letter, 31 the underscore (or DEL).
        let low = word & (ONES * 0x1f);
        let letter = low.wrapping_add(ONES * 0x7f) & !low.wrapping_add(ONES * (0x7f - 26));
        let underscore = low.wrapping_add(ONES * (0x7f - 30));
        (word | (word << 1) & (letter | underscore)) & HIGHS
    }

    /// Bits of all bytes in front of the lowest match; all bits where there is none.
    #[inline(always)]
    pub fn mask_before(matches: u64) -> u64 {
        ((matches & matches.wrapping_neg()) >> 7).wrapping_sub(1)
    }

    /// How many whole bytes a mask of [`mask_before`] covers.
    #[inline(always)]
    pub fn length(mask: u64) -> u32 {
        ((mask & ONES).wrapping_mul(ONES) >> 56) as u32
    }
}
