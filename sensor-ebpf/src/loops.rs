//! Loops that both the verifier and a unit test accept.

/// One iteration; the state lives in `self`.
pub trait Step {
    /// Does one step; false ends the loop.
    fn step(&mut self) -> bool;

    /// Where the kernel has no `bpf_loop`: some steps, done by one of [`turns`]. The state must then live in maps. Loops of
    /// a few steps with one way through them need none.
    #[cfg(floor)]
    #[inline(always)]
    fn turn(&mut self) -> bool {
        self.step()
    }
}

/// Calls `state.step()` until it returns false, at most `limit` times.
///
/// In the kernel this is `bpf_loop` (Linux 5.17): the verifier checks the body once instead of once per iteration,
/// which is what makes 4 KiB of statement text or 1,600 messages in one buffer checkable at all. Older kernels check a
/// global function once, so there the body is one, and the loop around it is short.
#[inline(always)]
pub fn repeat<S: Step>(limit: u32, state: &mut S) {
    #[cfg(all(target_arch = "bpf", not(floor)))]
    {
        extern "C" fn callback<S: Step>(_index: u64, state: *mut S) -> i64 {
            // SAFETY: `bpf_loop` passes on the pointer it was given below, which outlives the call.
            let state = unsafe { &mut *state };
            i64::from(!state.step())
        }
        // SAFETY: the callback has the signature that bpf_loop documents; the context is on this stack.
        unsafe {
            aya_ebpf::helpers::generated::bpf_loop(
                limit,
                callback::<S> as *mut core::ffi::c_void,
                core::ptr::from_mut(state).cast(),
                0,
            );
        }
    }
    #[cfg(floor)]
    {
        // A turn changes what the state refers to, by ways of its own.
        crate::bytes::escape(state);
        let mut turn = 0;
        while turn < limit {
            if !state.turn() {
                break;
            }
            turn += 1;
        }
    }
    #[cfg(not(target_arch = "bpf"))]
    for _ in 0..limit {
        if !state.step() {
            break;
        }
    }
}

/// Steps of a turn, where each step is small and there may be thousands: the verifier follows no more than 8192 jumps in
/// a row, and each turn is one.
#[cfg(floor)]
pub const STEPS: u32 = 2;

/// Bodies of loops as global functions without arguments: defined by the kernel programs, which find the state in maps.
/// Each returns zero where the loop ends.
#[cfg(floor)]
pub mod turns {
    unsafe extern "C" {
        /// All messages of a piece of what a client sent, and the next piece.
        pub fn turn_piece_received() -> u32;
        /// The same of what the server sent.
        pub fn turn_piece_sent() -> u32;
        /// A word of a name.
        pub fn turn_name() -> u32;
        /// Some steps over a statement's text.
        pub fn turn_text() -> u32;
        /// Some steps over its literals.
        pub fn turn_literals() -> u32;
        /// Some steps over bound parameters.
        pub fn turn_parameters() -> u32;
        /// A request that an error made the server discard.
        pub fn turn_skipped() -> u32;
        /// An entry of a scattered buffer.
        pub fn turn_vector() -> u32;
    }
}
