//! The kernel side as userspace sees it: load, attach, read.

pub mod capability;
pub mod load;
pub mod offsets;
pub mod pod;
mod test_run;
