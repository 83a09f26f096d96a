//! Amounts by bucket of time, of those buckets that have any: most windows of most principals are nearly empty, and there
//! are hundreds of thousands of them.

/// See the module. Buckets are numbered from the epoch on; `length` of them are held at most.
#[derive(Debug)]
pub struct Buckets {
    length: u64,
    /// Number of the newest bucket that time has reached.
    newest: u64,
    /// Number and amount, oldest first, none of them zero.
    filled: Vec<(u64, u64)>,
    sum: u64,
}

impl Buckets {
    /// At least one bucket.
    pub fn new(length: u64) -> Self {
        Self {
            length: length.max(1),
            newest: 0,
            filled: Vec::new(),
            sum: 0,
        }
    }

    /// How many buckets there are, empty ones included.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Sum over all buckets.
    pub fn sum(&self) -> u64 {
        self.sum
    }

    /// What the sum will be once time reaches this bucket, if nothing is added.
    pub fn sum_at(&self, number: u64) -> u64 {
        let oldest = (number + 1).saturating_sub(self.length);
        let kept = self.filled.iter().filter(|(number, _)| *number >= oldest);
        kept.map(|(_, amount)| amount).sum()
    }

    /// Time reaches a bucket: those that are too old for it go.
    pub fn advance(&mut self, number: u64) {
        if number <= self.newest {
            return;
        }
        self.newest = number;
        let oldest = self.oldest();
        let gone = self.filled.partition_point(|(number, _)| *number < oldest);
        for (_, amount) in self.filled.drain(..gone) {
            self.sum -= amount;
        }
    }

    /// Adds to a bucket; what is too old counts in the oldest: never lost.
    pub fn add(&mut self, number: u64, amount: u64) {
        if amount == 0 {
            return;
        }
        let number = number.clamp(self.oldest(), self.newest);
        self.sum += amount;
        // From the end: nearly always the last one.
        let at = self
            .filled
            .iter()
            .rposition(|(known, _)| *known <= number)
            .map_or(0, |at| at + usize::from(self.filled[at].0 != number));
        match self.filled.get_mut(at) {
            Some((known, sum)) if *known == number => *sum += amount,
            _ => {
                if self.filled.len() == self.filled.capacity() {
                    self.filled.reserve_exact((self.filled.len() / 2).max(1));
                }
                self.filled.insert(at, (number, amount));
            }
        }
    }

    /// Has everything slid out once time reaches this bucket?
    pub fn is_over(&self, number: u64) -> bool {
        number >= self.newest + self.length
    }

    fn oldest(&self) -> u64 {
        (self.newest + 1).saturating_sub(self.length)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// The same as a plain array of all buckets, whatever the order of what comes in.
        #[test]
        fn as_if_all_buckets_were_there(
            steps in prop::collection::vec((0u64..200, 0u64..100), 1..300),
            length in 1u64..40,
        ) {
            let mut buckets = Buckets::new(length);
            let mut all = [0u64; 200];
            let mut newest = 0;
            for (number, amount) in steps {
                newest = newest.max(number);
                let oldest = (newest + 1).saturating_sub(length);
                for (at, gone) in all.iter_mut().enumerate() {
                    if (at as u64) < oldest {
                        *gone = 0;
                    }
                }
                all[usize::try_from(number.max(oldest)).expect("fits")] += amount;
                buckets.advance(number);
                buckets.add(number, amount);
                prop_assert_eq!(buckets.sum(), all.iter().sum::<u64>());
                prop_assert_eq!(buckets.sum_at(newest), buckets.sum());
                let later = usize::try_from(newest + 3 + 1).expect("fits").saturating_sub(usize::try_from(length).expect("fits"));
                prop_assert_eq!(buckets.sum_at(newest + 3), all[later.min(200)..].iter().sum::<u64>());
                prop_assert!(buckets.filled.len() as u64 <= length);
                prop_assert!(!buckets.is_over(newest));
                prop_assert!(buckets.is_over(newest + length));
            }
        }
    }
}
