//! The kernel side as userspace sees it: load, attach, read.

pub mod ask;
pub mod capability;
pub mod certificates;
mod functions;
pub mod hooks;
pub mod load;
pub mod offsets;
mod order;
pub mod plans;
pub mod pod;
pub mod preemption;
pub mod privileges;
mod registers;
mod settings;
mod test_run;
pub mod tls;
pub mod uprobe;
