//! Patterns that were seen, so that what varies without digits becomes `*`, too: a place where more than a few names were seen is
//! no structure. A tree of parts of patterns, bounded.

use std::{collections::HashMap, sync::Arc};

use super::{super::Shape, with_pattern};

/// Parts that are kept; new ones beyond become `*`.
const MOST: usize = 4_096;
/// Names in one place; one more makes all of them `*` from then on.
const SIBLINGS: u32 = 32;
/// Names that patterns begin with, of all servers: there are as many as an application has kinds of data.
const FIRST: u32 = 256;

/// See the module.
#[derive(Debug, Default)]
pub struct Patterns {
    /// By parent and part, with the border behind it.
    nodes: HashMap<(u32, Arc<str>), u32>,
    /// By number, the root first: names seen in the places right behind.
    names: Vec<u32>,
}

impl Patterns {
    /// The shape as far as what has been seen allows.
    pub fn learn(&mut self, shape: Shape) -> Shape {
        let Some(table) = shape.tables.first() else {
            return shape;
        };
        let pattern = self.follow(table);
        if *pattern == **table {
            shape
        } else {
            with_pattern(&shape, &pattern)
        }
    }

    fn follow(&mut self, pattern: &str) -> String {
        if self.names.is_empty() {
            self.names.push(0);
        }
        let mut followed = String::with_capacity(pattern.len());
        let mut node = 0;
        for part in pattern.split_inclusive(|character: char| {
            !character.is_ascii_alphabetic() && character != '_' && character != '*'
        }) {
            let border = part
                .char_indices()
                .next_back()
                .filter(|(_, last)| !last.is_ascii_alphabetic() && *last != '_' && *last != '*')
                .map_or("", |(at, _)| &part[at..]);
            let name = &part[..part.len() - border.len()];
            let varies = name == "*" || !name.is_empty() && self.varies(node, part);
            let part = if varies {
                format!("*{border}")
            } else {
                part.to_owned()
            };
            followed.push_str(&part);
            node = self.child(node, &part, !varies && !name.is_empty());
        }
        followed
    }

    /// Is this place one where names vary, or becomes one with this name?
    fn varies(&self, node: u32, part: &str) -> bool {
        let most = if node == 0 { FIRST } else { SIBLINGS };
        let names = self.names.get(node as usize).copied().unwrap_or(u32::MAX);
        names > most || self.nodes.len() >= MOST && !self.nodes.contains_key(&(node, part.into()))
    }

    /// The node of a part; where there is no room for one, none of what follows is kept.
    fn child(&mut self, node: u32, part: &str, is_name: bool) -> u32 {
        if node == NOWHERE {
            return NOWHERE;
        }
        let key = (node, part.into());
        if let Some(child) = self.nodes.get(&key) {
            return *child;
        }
        if self.nodes.len() >= MOST {
            return NOWHERE;
        }
        let child = u32::try_from(self.names.len()).unwrap_or(NOWHERE);
        self.nodes.insert(key, child);
        self.names.push(0);
        if is_name && let Some(names) = self.names.get_mut(node as usize) {
            *names += 1;
        }
        child
    }
}

/// No node: all names vary behind it.
const NOWHERE: u32 = u32::MAX;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_vary_become_stars() {
        let mut patterns = Patterns::default();
        let name = |i: u32| {
            let letter = |n: u32| char::from(b'a' + u8::try_from(n % 26).unwrap_or(0));
            format!("{}{}{}", letter(i / 676), letter(i / 26), letter(i))
        };
        for i in 0..33 {
            let pattern = format!("user:{}:*", name(i));
            assert_eq!(patterns.follow(&pattern), pattern, "{i}");
        }
        assert_eq!(patterns.follow("user:another:*"), "user:*:*");
        assert_eq!(
            patterns.follow("user:aaa:*"),
            "user:*:*",
            "those that were kept, too"
        );
        assert_eq!(patterns.follow("user:*:email"), "user:*:email");
        assert_eq!(
            patterns.follow("order:aaa:*"),
            "order:aaa:*",
            "elsewhere not"
        );
        // An application has more kinds of data than that.
        for i in 100..300 {
            let pattern = format!("{}:*", name(i));
            assert_eq!(patterns.follow(&pattern), pattern);
        }
        for i in 300..400 {
            patterns.follow(&format!("{}:*", name(i)));
        }
        assert_eq!(patterns.follow("user:*:email"), "*:*:email");
    }

    #[test]
    fn memory_is_bounded() {
        let mut patterns = Patterns::default();
        for i in 0..200_000u32 {
            let part = |n: u32| format!("{:x}", n % 17).replace(|c: char| c.is_ascii_digit(), "g");
            let name: String = (0..6)
                .map(|at| format!("{}:", part(i >> (at * 3))))
                .collect();
            patterns.follow(&name);
        }
        assert!(patterns.nodes.len() <= MOST && patterns.names.len() <= MOST + 1);
    }

    #[test]
    fn what_does_not_vary_stays_as_it_is() {
        let mut patterns = Patterns::default();
        for pattern in [
            "*",
            "user:*",
            "{*}.following",
            "a::*",
            ":*",
            "user-profile-*",
            "a:*.*/b|c#*",
            "",
        ] {
            assert_eq!(patterns.follow(pattern), pattern);
        }
    }
}
