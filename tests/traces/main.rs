//! Promise: a session is a trace that people read, its statements are spans with the kernel's times, and from an alert and
//! from a metric the way leads there.

mod alert;
mod errors;
mod exemplars;
mod links;
mod scene;
mod session;
mod spans;
