//! Conversations in RESP, as servers hold them.

mod conversation;
mod hostile;
mod names;
mod news;
mod wire;
