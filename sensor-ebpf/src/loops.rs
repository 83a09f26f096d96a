//! Loops that both the verifier and a unit test accept.

/// One iteration; the state lives in `self`.
pub trait Step {
    /// Does one step; false ends the loop.
    fn step(&mut self) -> bool;
}

/// Calls `state.step()` until it returns false, at most `limit` times.
///
/// In the kernel this is `bpf_loop` (Linux 5.17): the verifier checks the body once instead of once per iteration,
/// which is what makes 4 KiB of statement text or 1,600 messages in one buffer checkable at all.
#[inline(always)]
pub fn repeat<S: Step>(limit: u32, state: &mut S) {
    #[cfg(target_arch = "bpf")]
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
    #[cfg(not(target_arch = "bpf"))]
    for _ in 0..limit {
        if !state.step() {
            break;
        }
    }
}
