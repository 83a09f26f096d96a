//! Random numbers for tests, the same in every run.

/// Draws numbers below what it is given (xorshift).
pub fn draws() -> impl FnMut(usize) -> usize {
    let mut random = 88_172_645_463_325_252u64;
    move |below| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        (random >> 8) as usize % below
    }
}
