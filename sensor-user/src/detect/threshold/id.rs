//! Alert ids in the layout of a ULID: 48 bits of milliseconds, 80 bits that no other alert has.

use std::sync::Arc;

use crate::{detect::mix, time::Timestamp};

/// Crockford's base 32.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// The id of the `number`th alert since `seed` was drawn.
pub fn ulid(time: Timestamp, seed: u64, number: u64) -> Arc<str> {
    let millis = u128::from(time.0 / 1_000_000) & ((1 << 48) - 1);
    let low = u128::from(mix(seed ^ mix(number)));
    let high = u128::from(mix(seed.wrapping_add(number)) & 0xffff);
    let bits = millis << 80 | high << 64 | low;
    (0..26)
        .rev()
        .map(|digit| char::from(ALPHABET[(bits >> (digit * 5)) as usize & 31]))
        .collect::<String>()
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_unique_and_sort_by_time() {
        let ids: std::collections::BTreeSet<_> = (0..10_000)
            .map(|number| ulid(Timestamp(5_000_000_000), 7, number))
            .collect();
        assert_eq!(ids.len(), 10_000);
        assert!(ids.iter().all(|id| id.len() == 26));
        assert!(ulid(Timestamp(1_000_000), 1, 1) < ulid(Timestamp(2_000_000), 2, 2));
    }
}
