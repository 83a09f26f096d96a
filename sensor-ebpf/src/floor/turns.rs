//! Bodies of loops: see `sensor_ebpf::loops::turns`, which says what each is.
//!
//! By their C names and linkage they are global to the verifier: it checks each once, and not again for each of the ways
//! and turns that lead to it.

use sensor_ebpf::{bytes::CHUNK, fingerprint, picked, protocol::postgres};

use super::{served, steps};
use crate::{
    maps::SCRATCH,
    surroundings::{self, KernelPicker},
};

/// Messages of a piece at the most, and a step more.
const MESSAGES: u32 = CHUNK / 5 + 2;

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn turn_piece_received() -> u32 {
    let mut step = 0;
    while step < MESSAGES {
        let goes_on = turn_received();
        turn_taken();
        steps::step_keys();
        if goes_on == 0 {
            return 0;
        }
        step += 1;
    }
    1
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn turn_received() -> u32 {
    served().map_or(0, |(mut s, c)| {
        u32::from(postgres::received_turn(&mut s, c))
    })
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn turn_taken() -> u32 {
    served().map_or(0, |(mut s, c)| {
        postgres::taken(&mut s, c);
        1
    })
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn turn_piece_sent() -> u32 {
    let mut step = 0;
    while step < MESSAGES {
        if turn_sent() == 0 {
            return 0;
        }
        step += 1;
    }
    1
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn turn_sent() -> u32 {
    served().map_or(0, |(mut s, c)| u32::from(postgres::sent_turn(&mut s, c)))
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn turn_skipped() -> u32 {
    served().map_or(0, |(mut s, c)| u32::from(postgres::skipped_turn(&mut s, c)))
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn turn_name() -> u32 {
    // SAFETY: this CPU's working memory.
    SCRATCH
        .get_ptr_mut(0)
        .map_or(0, |scratch| u32::from(unsafe { (*scratch).name_step() }))
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn turn_text() -> u32 {
    // SAFETY: this CPU's working memory.
    SCRATCH.get_ptr_mut(0).map_or(0, |scratch| {
        u32::from(fingerprint::turn(unsafe { &mut *scratch }))
    })
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn turn_literals() -> u32 {
    SCRATCH.get_ptr_mut(0).map_or(0, |scratch| {
        u32::from(picked::literals_turn(&mut KernelPicker { scratch }))
    })
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn turn_parameters() -> u32 {
    SCRATCH.get_ptr_mut(0).map_or(0, |scratch| {
        u32::from(picked::parameters_turn(&mut KernelPicker { scratch }))
    })
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn turn_vector() -> u32 {
    u32::from(surroundings::vector_turn())
}
