//! Servers that are gone: what they left behind is still theirs.

use std::collections::HashMap;

use super::Server;

/// Remembers servers that are gone until all has been taken in that they left in the ring: a record that is looked at after its server
/// is forgotten would be that of an unknown one, and what a pooler asked for would count for itself.
#[derive(Debug, Default)]
pub struct Leaving {
    /// How often the ring had been drained when the end of each was noticed, by its process.
    noticed: HashMap<u32, u64>,
}

impl Leaving {
    /// Adds those of the `known` servers to the `running` ones that are gone and not forgotten yet. `drains`: how often the ring has been
    /// drained, to its end.
    pub fn keep(&mut self, running: &mut Vec<Server>, known: &[Server], drains: u64) {
        let is_gone = |pid| !running.iter().any(|server: &Server| server.pid == pid);
        let gone: Vec<&Server> = known.iter().filter(|server| is_gone(server.pid)).collect();
        self.noticed
            .retain(|pid, _| gone.iter().any(|server| server.pid == *pid));
        for server in gone {
            let noticed = *self.noticed.entry(server.pid).or_insert(drains);
            if noticed == drains {
                running.push(server.clone());
            }
        }
        running.sort_by_key(|server| server.pid);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pids(servers: &[Server]) -> Vec<u32> {
        servers.iter().map(|server| server.pid).collect()
    }

    #[test]
    fn a_server_is_forgotten_with_the_next_drain() {
        let mut leaving = Leaving::default();
        let known = [Server::plain(3), Server::plain(5), Server::plain(9)];
        let mut running = vec![Server::plain(3), Server::plain(9)];
        leaving.keep(&mut running, &known, 7);
        assert_eq!(pids(&running), [3, 5, 9]);
        let mut running = vec![Server::plain(3), Server::plain(9)];
        leaving.keep(&mut running, &known, 7);
        assert_eq!(pids(&running), [3, 5, 9], "nothing has been drained since");
        let mut running = vec![Server::plain(3), Server::plain(9)];
        leaving.keep(&mut running, &known, 8);
        assert_eq!(pids(&running), [3, 9]);
        // Another with the same number, later.
        let known = [Server::plain(3), Server::plain(5), Server::plain(9)];
        leaving.keep(
            &mut vec![Server::plain(3), Server::plain(5), Server::plain(9)],
            &known,
            20,
        );
        let mut running = vec![Server::plain(3)];
        leaving.keep(&mut running, &known, 21);
        assert_eq!(pids(&running), [3, 5, 9]);
    }
}
