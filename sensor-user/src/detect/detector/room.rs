//! Principals come and go: whoever has been away for long is forgotten, and with too many, those away for longest.

use super::{Detector, State};
use crate::detect::{finding::Subject, names::Names};

impl Detector {
    /// Makes room when it is worth the work: numbers change, so all that holds them is gone through.
    pub(super) fn make_room(&mut self, day: u32) {
        let idle = day.saturating_sub(self.calibration.idle_days);
        let all = self.state.principals.len();
        let gone = self
            .state
            .principals
            .iter()
            .filter(|principal| principal.last_day < idle)
            .count();
        if gone * 10 < all && all <= self.calibration.max_principals {
            return;
        }
        if gone == 0 && all <= self.calibration.max_principals {
            return;
        }
        let mut last_days: Vec<u32> = self
            .state
            .principals
            .iter()
            .map(|principal| principal.last_day)
            .collect();
        last_days.sort_unstable_by(|a, b| b.cmp(a));
        // A tenth of the room stays free, so that this is not done each day.
        let most = self.calibration.max_principals / 10 * 9;
        let since = last_days
            .get(most)
            .map_or(idle, |last| (last + 1).max(idle));
        self.state.keep(since);
        self.state.counters.forgotten += (all - self.state.principals.len()) as u64;
    }
}

impl State {
    /// Keeps principals that were active on `since` or later.
    fn keep(&mut self, since: u32) {
        let mut names = Names::default();
        let renumbered: Vec<Option<u32>> = self
            .principals
            .iter()
            .zip(0u32..)
            .map(|(principal, old)| {
                (principal.last_day >= since).then(|| names.number(&self.names.text(old)))
            })
            .collect();
        let renumber = |old: u32| renumbered.get(old as usize).copied().flatten();
        self.principals
            .retain(|principal| principal.last_day >= since);
        self.names = names;
        for active in &mut self.active {
            *active = active.iter().filter_map(|id| renumber(*id)).collect();
        }
        self.hosts.renumber(renumber);
        self.os_users.renumber(renumber);
        self.statements.renumber(renumber);
        self.shared.renumber(renumber);
        self.arbitration.renumber(|subject| match subject {
            Subject::Principal(id) => renumber(id).map(Subject::Principal),
            other => Some(other),
        });
    }
}
