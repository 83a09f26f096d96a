//! Which literals of which statements are keys, as the kernel side wants to know it.

use std::collections::HashMap;

use aya::maps::{Array, MapData};
use sensor_ebpf::picked::{Bucket, PLANS, Plan, bucket};

use super::pod::Plain;

/// The kernel's map and what it holds.
pub struct Plans {
    map: Array<MapData, Plain<Bucket>>,
    buckets: HashMap<u32, Bucket>,
    /// Plans that made room for others: rows of their statements count as records.
    pub displaced: u64,
}

impl Plans {
    /// An empty map.
    pub fn new(map: Array<MapData, Plain<Bucket>>) -> Self {
        Self {
            map,
            buckets: HashMap::new(),
            displaced: 0,
        }
    }

    /// Puts a statement's plan in force, or takes it away.
    pub fn set(&mut self, fingerprint: u64, plan: Option<Plan>) {
        let index = bucket(fingerprint);
        let known = self.buckets.entry(index).or_default();
        self.displaced += u64::from(place(known, fingerprint, plan));
        if let Err(error) = self.map.set(index, Plain(*known), 0) {
            log::error!(
                "cannot tell the kernel side which literals of a statement are keys: {error}"
            );
        }
    }
}

/// True when another plan had to go.
fn place(bucket: &mut Bucket, fingerprint: u64, plan: Option<Plan>) -> bool {
    let at = |wanted: u64| bucket.plans.iter().position(|entry| entry[0] == wanted);
    let known = at(fingerprint);
    let Some(plan) = plan else {
        if let Some(known) = known {
            bucket.plans[known] = [0; 2];
        }
        return false;
    };
    let free = known.or_else(|| at(0));
    // By a bit of the fingerprint that nobody outside can choose.
    let place = free.unwrap_or(fingerprint as usize >> 40 & (PLANS - 1));
    bucket.plans[place] = [fingerprint, plan.pack()];
    free.is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_holds_four_and_then_the_newest() {
        let mut bucket = Bucket::default();
        for fingerprint in 1..=4 {
            assert!(!place(&mut bucket, fingerprint, Some(Plan::EMPTY)));
        }
        assert!(!place(
            &mut bucket,
            3,
            Some(Plan {
                group: 1,
                ..Plan::EMPTY
            })
        ));
        assert_eq!(Plan::unpack(bucket.find(3)).group, 1);
        assert!(place(&mut bucket, 5, Some(Plan::EMPTY)));
        assert_ne!(bucket.find(5), 0);
        assert!(!place(&mut bucket, 5, None));
        assert_eq!(bucket.find(5), 0);
    }
}
