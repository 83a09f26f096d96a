//! The parameters of a `Bind`.

use super::{
    BOUND, KEY, Picker, cut,
    plan::{NONE, Plan},
    value::integer,
};
use crate::{
    bytes::Window,
    loops::{Step, repeat},
    scratch::Scratch,
};

struct Bound<'a, P> {
    picker: &'a mut P,
}

/// Parameters, and words of values, that one message may bring: beyond, it is cut.
#[cfg(not(floor))]
const BIND_STEPS: u32 = 8192;
#[cfg(floor)]
const BIND_STEPS: u32 = 8192 / crate::loops::STEPS;

/// Picks the keys among the parameters of a `Bind`, whose formats begin at `start`.
#[inline(always)]
pub fn parameters<P: Picker>(picker: &mut P, plan: u64, start: u32, end: u32, keys: [u64; 2]) {
    let plan = Plan::unpack(plan);
    let Scratch { keyer, window, .. } = picker.scratch();
    let formats = window.be32(start) >> 16;
    let counted = start + 2 + formats * 2;
    keyer.begin(counted + 2, end, keys);
    keyer.formats = start + 2;
    keyer.formats_count = formats;
    // So many formats may lie beyond the message: then nothing is picked below.
    keyer.count = window.be32_or_any(counted) >> 16;
    let behind = u32::from(plan.tail);
    keyer.from = u32::from(plan.param);
    keyer.to = keyer.count.wrapping_sub(behind);
    keyer.bound = u32::from(plan.bound_param);
    let keys_are_there = keyer.to > keyer.from && keyer.to <= keyer.count;
    if plan.param == NONE || !keys_are_there || !plan.list && keyer.to != keyer.from + 1 {
        // Written in another way than what was learnt from.
        keyer.from = 1;
        keyer.to = 0;
    }
    if counted + 2 <= end {
        repeat(BIND_STEPS, &mut Bound { picker });
    }
    let keyer = &mut picker.scratch().keyer;
    // Without parameters the keys stood in the text.
    if !keyer.done || !keyer.any && keyer.count > 0 {
        cut(picker);
    }
}

impl<P: Picker> Step for Bound<'_, P> {
    #[inline(always)]
    fn step(&mut self) -> bool {
        let Scratch { keyer, window, .. } = self.picker.scratch();
        let position = keyer.position;
        if keyer.rest > 0 {
            if position >= keyer.end {
                return false;
            }
            keyer.value.push(window.byte(position));
            keyer.position = position + 1;
            keyer.rest -= 1;
            if keyer.rest == 0 {
                let pick = keyer.value_ends();
                self.picker.picked(pick);
            }
            return true;
        }
        let at = keyer.index;
        if at >= keyer.count {
            keyer.done = true;
            return false;
        }
        if position + 4 > keyer.end {
            return false;
        }
        let length = window.be32(position);
        keyer.index = at + 1;
        keyer.position = position + 4;
        if length > i32::MAX as u32 || length == 0 {
            // NULL, or nothing.
            return true;
        }
        keyer.use_of = if at >= keyer.from && at < keyer.to {
            KEY
        } else if at == keyer.bound {
            BOUND
        } else {
            keyer.position = position + 4 + length;
            return keyer.position <= keyer.end;
        };
        if position + 4 + length > keyer.end {
            return false;
        }
        let format = if keyer.formats_count == 0 {
            0
        } else {
            // One is for all; a server refuses any other number that is not that of the parameters.
            let place = if at < keyer.formats_count { at } else { 0 };
            window.be32(keyer.formats + place * 2) >> 16
        };
        if format == 1 && (length == 2 || length == 4 || length == 8) {
            let number = be64(window, position + 4) >> ((64 - length * 8) & 63);
            keyer.position = position + 4 + length;
            let keys = keyer.keys;
            let hash = integer(keys, number);
            let pick = keyer.pick(hash, number);
            self.picker.picked(pick);
            return true;
        }
        let keys = keyer.keys;
        keyer.value.begin(keys);
        keyer.rest = length;
        true
    }

    #[cfg(floor)]
    #[inline(always)]
    fn turn(&mut self) -> bool {
        // SAFETY: finds what this step has in maps.
        unsafe { crate::loops::turns::turn_parameters() != 0 }
    }
}

#[inline(always)]
fn be64(window: &mut Window, position: u32) -> u64 {
    window.le64(position).swap_bytes()
}

/// Some steps of [`parameters`].
#[cfg(floor)]
#[inline(always)]
pub fn parameters_turn<P: Picker>(picker: &mut P) -> bool {
    let mut bound = Bound { picker };
    let mut taken = 0;
    while taken < crate::loops::STEPS {
        if !bound.step() {
            return false;
        }
        crate::bytes::barrier();
        taken += 1;
    }
    true
}
