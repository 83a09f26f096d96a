//! Memory that is free goes back to the kernel: how glibc's allocator is used. Others are left as they are.

/// Large buffers are mapped apart and gone when they are freed. Without this glibc takes the first one that is freed as a
/// hint to keep the next ones, and an export's buffers stay for ever.
#[cfg(target_env = "gnu")]
const MAPPED: libc::c_int = 256 << 10;

/// To be called before there are threads.
pub fn configure() {
    #[cfg(target_env = "gnu")]
    // SAFETY: takes no pointer; values are checked by the C library, which ignores what it can't use.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, MAPPED);
        libc::mallopt(libc::M_TRIM_THRESHOLD, MAPPED);
        // The worker threads of the exports and of the history share what is left over.
        libc::mallopt(libc::M_ARENA_MAX, 2);
    }
}

/// Hands back the pages in which nothing lives any more: what parsing the kernel's types took at the start, a burst of new
/// statements, a day's closing. The C library keeps them otherwise for as long as anything lives above them. Takes some
/// milliseconds for a hundred megabytes: not for the thread that drains the ring.
pub fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: takes no pointer; thread-safe by the C library's documentation.
    unsafe {
        libc::malloc_trim(0);
    }
}
