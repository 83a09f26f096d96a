//! Which statements of a second are told, in memory that does not grow with their number.

use super::{Candidate, Reason};

/// The largest of a second by rows, and as many by bytes.
const LARGEST: usize = 3;

/// The statements of a second.
#[derive(Debug)]
pub struct Second {
    budget: usize,
    /// Largest first.
    by_rows: Vec<Candidate>,
    by_bytes: Vec<Candidate>,
    failed: Vec<Candidate>,
    /// A reservoir (Vitter's algorithm R) …
    sample: Vec<Candidate>,
    /// … of so many.
    population: u64,
    offered: u64,
}

impl Second {
    /// Nothing yet.
    pub fn new(budget: usize) -> Self {
        Self {
            budget,
            by_rows: Vec::new(),
            by_bytes: Vec::new(),
            failed: Vec::new(),
            sample: Vec::new(),
            population: 0,
            offered: 0,
        }
    }

    /// One more statement, and a random number.
    pub fn offer(&mut self, candidate: Candidate, random: u64) {
        self.offered += 1;
        // As many failing ones as others by chance: a client that does nothing but fail must not crowd out the rest.
        if candidate.failed && self.failed.len() < self.budget.max(LARGEST) {
            self.failed.push(candidate);
            return;
        }
        // What is pushed out of the largest is offered to the sample like all others: each has its chance once.
        let rest = keep(&mut self.by_rows, candidate, Candidate::rows)
            .and_then(|rest| keep(&mut self.by_bytes, rest, |one| one.volume.bytes_sent));
        if let Some(rest) = rest {
            self.sample(rest, random);
        }
    }

    fn sample(&mut self, candidate: Candidate, random: u64) {
        self.population += 1;
        if self.sample.len() < self.budget {
            self.sample.push(candidate);
        } else if let Ok(at) = usize::try_from(random % self.population)
            && let Some(place) = self.sample.get_mut(at)
        {
            *place = candidate;
        }
    }

    /// Statements offered.
    pub fn offered(&self) -> u64 {
        self.offered
    }

    /// Those to tell.
    pub fn chosen(self) -> impl Iterator<Item = (Candidate, Reason)> {
        let probability = if self.population == 0 {
            1.0
        } else {
            (self.sample.len() as f64 / self.population as f64).min(1.0)
        };
        let with = |reason: Reason| move |one: Candidate| (one, reason.clone());
        self.failed
            .into_iter()
            .map(with(Reason::Failed))
            .chain(self.by_rows.into_iter().map(with(Reason::Largest)))
            .chain(self.by_bytes.into_iter().map(with(Reason::Largest)))
            .chain(
                self.sample
                    .into_iter()
                    .map(with(Reason::Chance(probability))),
            )
    }
}

/// Keeps the largest; returns who has to go. One of nothing is not large.
fn keep(
    largest: &mut Vec<Candidate>,
    candidate: Candidate,
    size: impl Fn(&Candidate) -> u64,
) -> Option<Candidate> {
    if size(&candidate) == 0 {
        return Some(candidate);
    }
    let at = largest.partition_point(|one| size(one) >= size(&candidate));
    largest.insert(at, candidate);
    (largest.len() > LARGEST).then(|| largest.pop()).flatten()
}
