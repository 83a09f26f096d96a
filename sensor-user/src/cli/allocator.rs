//! Memory that is free goes back to the kernel.

/// Hands back the pages in which nothing lives any more: what parsing the kernel's types took at the start, a burst of new
/// statements, a day's closing. The C library keeps them otherwise for as long as anything lives above them. Takes some
/// milliseconds for a hundred megabytes.
pub fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: takes no pointer; thread-safe by the C library's documentation.
    unsafe {
        libc::malloc_trim(0);
    }
}
