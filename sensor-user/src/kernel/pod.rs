//! Shared types as map keys and values.

use aya::Pod;
use sensor_ebpf::{
    picked::Bucket,
    record::{KernelCounters, OverflowKey, OverflowVolume},
};

/// A shared type in a map. The wrapper exists because neither the type nor aya's trait is this crate's own.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Plain<T>(pub T);

macro_rules! plain {
    ($($type:ty),* $(,)?) => {
        $(
            // SAFETY: `repr(C)`, integers only, no padding (sizes are asserted where the type is defined): any bytes
            // are a valid value.
            unsafe impl Pod for Plain<$type> {}
        )*
    };
}

plain! {
    Bucket,
    KernelCounters,
    OverflowKey,
    OverflowVolume,
}
