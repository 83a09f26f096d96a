//! What the day needs from the database that it is played on.

use anyhow::Result;

use super::{Size, truth::Counts};

/// A throwaway server and its clients.
pub trait Database: Sync {
    /// Makes database, users and rows.
    fn load(&self, size: Size) -> Result<()>;
    /// An agent at work; by the unix socket or over TCP.
    fn agent(&self, name: &str, unix: bool) -> Result<Box<dyn Agent + '_>>;
    /// Runs the analyst's reports.
    fn report(&self) -> Result<()>;
    /// Copies all tables; how many bytes came.
    fn backup(&self) -> Result<u64>;
    /// What the insider types.
    fn theft(&self) -> &'static str;
    /// By what name the sensor knows what it takes.
    fn customers(&self) -> &'static str;
    /// Does it, and calls back for each row that the insider got.
    fn steal(&self, row: &mut dyn FnMut()) -> Result<()>;
    /// Makes the server count anew.
    fn reset(&self) -> Result<()>;
    /// What it counted.
    fn counts(&self) -> Result<Counts>;
    /// By what it counts.
    fn statistics(&self) -> &'static str;
    /// A line of the sensor's configuration by which it learns how large tables are.
    fn sizes(&self, size: Size) -> String;
    /// How the insider would log in.
    fn shell(&self) -> String;
    /// Its process.
    fn pid(&self) -> u32;
    /// What makes that end at once.
    fn ends_by(&self) -> libc::c_int;
}

/// See [`Database::agent`].
pub trait Agent {
    /// Looks up a ticket; how many rows came.
    fn look_up(&mut self, ticket: u64) -> Result<u64>;
    /// Closes one.
    fn close(&mut self, ticket: u64) -> Result<()>;
    /// Logs out.
    fn leave(self: Box<Self>) -> Result<()>;
}
