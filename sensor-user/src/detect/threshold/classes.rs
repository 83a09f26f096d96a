//! What selectors can't tell apart is one class: a hundred thousand principals times ten thousand statements are a
//! few classes times a few.

use std::{hash::Hash, sync::Arc};

use rustc_hash::FxHashMap;

use crate::{
    config::threshold::{Limit, Selector, Threshold},
    principal::{Principal, PrincipalId},
    sql::Shape,
    volume::Access,
};

/// Principals or shapes whose class is remembered.
const REMEMBERED: usize = 200_000;

/// See the module. Made for one set of rules.
#[derive(Debug, Default)]
pub struct Classes {
    principals: Known<PrincipalId, Box<[bool]>>,
    shapes: Known<u32, Selected>,
}

/// Which selectors select a shape, and the tables whose share may matter.
type Selected = (Box<[bool]>, Box<[Arc<str>]>);

/// The class of each, and what each class is.
#[derive(Debug)]
struct Known<K, C> {
    of: FxHashMap<K, u32>,
    classes: FxHashMap<C, u32>,
    /// Number of the next class: never given twice, or it would come to mean something else.
    next: u32,
}

impl Classes {
    /// Number of a principal's class.
    pub fn principal(
        &mut self,
        rules: &[Threshold],
        access: &Access<'_>,
        principal: &Principal,
    ) -> u32 {
        self.principals.class(access.principal, || {
            selectors(rules)
                .map(|selector| selects_principal(selector, principal))
                .collect()
        })
    }

    /// Number of a shape's class.
    pub fn shape(&mut self, rules: &[Threshold], access: &Access<'_>) -> u32 {
        self.shapes.class(access.shape_id, || {
            let selected = selectors(rules)
                .map(|selector| selects_shape(selector, access.shape))
                .collect();
            // A share is that of a table: which ones they are matters.
            let tables = rules
                .iter()
                .filter(|rule| matches!(rule.limit, Limit::Share(_)))
                .flat_map(|rule| {
                    let tables = access.shape.tables.iter();
                    tables.filter(|table| rule.selector.table.matches_table(table))
                })
                .cloned()
                .collect();
            (selected, tables)
        })
    }
}

impl<K: Eq + Hash, C: Eq + Hash> Known<K, C> {
    fn class(&mut self, of: K, class: impl FnOnce() -> C) -> u32 {
        if let Some(number) = self.of.get(&of) {
            return *number;
        }
        if self.of.len() >= REMEMBERED {
            self.of.clear();
        }
        if self.classes.len() >= REMEMBERED {
            self.classes.clear();
        }
        let next = &mut self.next;
        let number = *self.classes.entry(class()).or_insert_with(|| {
            *next = next.wrapping_add(1);
            *next
        });
        self.of.insert(of, number);
        number
    }
}

impl<K, C> Default for Known<K, C> {
    fn default() -> Self {
        Self {
            of: FxHashMap::default(),
            classes: FxHashMap::default(),
            next: 0,
        }
    }
}

/// Of all rules and their exceptions.
fn selectors(rules: &[Threshold]) -> impl Iterator<Item = &Selector> {
    rules.iter().flat_map(|rule| {
        let exceptions = rule.exceptions.iter().map(|exception| &exception.selector);
        std::iter::once(&rule.selector).chain(exceptions)
    })
}

/// Does what a selector says of principals hold for this one?
pub fn selects_principal(selector: &Selector, principal: &Principal) -> bool {
    selector
        .user
        .matches(principal.user.as_deref().unwrap_or(""))
        && selector
            .client_address
            .matches(&principal.client.to_string())
        && selector
            .os_user
            .matches(principal.os_user.as_ref().map_or("", |user| &user.name))
}

/// Does what a selector says of statements hold for this shape?
pub fn selects_shape(selector: &Selector, shape: &Shape) -> bool {
    selector.operation.matches(&shape.operation)
        && (selector.table.is_empty()
            || shape
                .tables
                .iter()
                .any(|table| selector.table.matches_table(table)))
}
