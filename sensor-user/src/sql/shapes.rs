//! Fingerprint → shapes: each text is analysed once.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use sensor_ebpf::picked::Plan;

use super::{
    Language, Shape,
    redis::patterns::Patterns,
    session::{Change, Changes},
};

/// Number of the shape that stands for "no statement".
pub const NONE: u32 = 0;
/// Number of the shape of statements whose text was never seen.
pub const UNKNOWN: u32 = 1;

/// What the kernel side should know after a text was learnt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Learned {
    /// A fingerprint whose every text is wanted: its destination is a literal, and differs from one to the next.
    pub always: Option<u64>,
    /// A fingerprint that had to go, whose text must be asked for again when it comes back.
    pub forget: Option<u64>,
    /// A fingerprint and where its keys stand.
    pub plan: Option<(u64, Plan)>,
}

/// Interned shapes, and which fingerprint stands for which.
#[derive(Debug)]
pub struct Shapes {
    shapes: Vec<Arc<Shape>>,
    by_shape: HashMap<Arc<Shape>, u32>,
    by_fingerprint: HashMap<u64, Arc<[u32]>>,
    /// Of those that change their session: what.
    changes: HashMap<u64, Changes>,
    in_order: VecDeque<u64>,
    /// Of keys.
    patterns: Patterns,
    max: usize,
    /// Shapes beyond the bound: counted as unknown.
    pub folded: u64,
    /// Texts that the grammar refused.
    pub unparsed: u64,
}

impl Shapes {
    /// At most `max` shapes are kept apart.
    pub fn new(max: usize) -> Self {
        let none = Arc::new(Shape::default());
        let unknown = Arc::new(Shape {
            summary: "unknown statement".into(),
            ..Shape::default()
        });
        Self {
            by_shape: [(none.clone(), NONE), (unknown.clone(), UNKNOWN)].into(),
            shapes: vec![none, unknown],
            by_fingerprint: HashMap::new(),
            changes: HashMap::new(),
            in_order: VecDeque::new(),
            patterns: Patterns::default(),
            max: max.max(2),
            folded: 0,
            unparsed: 0,
        }
    }

    /// A shape by its number.
    pub fn shape(&self, id: u32) -> &Arc<Shape> {
        &self.shapes[id as usize]
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.shapes.len()
    }

    /// Never: "none" and "unknown" are always there.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// Learns the text behind a fingerprint.
    pub fn learn(
        &mut self,
        fingerprint: u64,
        text: &[u8],
        truncated: bool,
        language: Language,
    ) -> Learned {
        let ids: Vec<u32> = language
            .analyse(text, truncated)
            .into_iter()
            .map(|shape| {
                // No grammar has been asked of others.
                if language == Language::Postgres && !shape.parsed && !shape.text.is_empty() {
                    self.unparsed += 1;
                }
                let shape = match language {
                    Language::Redis => self.patterns.learn(shape),
                    _ => shape,
                };
                self.intern(shape)
            })
            .collect();
        let egress = ids.iter().any(|id| self.shape(*id).egress.is_some());
        let known = self.by_fingerprint.insert(fingerprint, ids.into());
        if known.is_none() {
            self.in_order.push_back(fingerprint);
        }
        match language.changes(text, truncated) {
            Changes::None => self.changes.remove(&fingerprint),
            changes => self.changes.insert(fingerprint, changes),
        };
        let mut learned = Learned {
            always: (egress && known.is_none()).then_some(fingerprint),
            ..Learned::default()
        };
        // One shape has several fingerprints at times (see the kernel's lexer): four a shape.
        if self.in_order.len() > self.max * 4 {
            learned.forget = self.in_order.pop_front();
            if let Some(oldest) = learned.forget {
                self.by_fingerprint.remove(&oldest);
                self.changes.remove(&oldest);
            }
        }
        learned
    }

    /// The shape of the statement at `ordinal` in its text.
    pub fn lookup(&self, fingerprint: u64, ordinal: u32) -> u32 {
        if fingerprint == 0 {
            return UNKNOWN;
        }
        let Some(ids) = self.by_fingerprint.get(&fingerprint) else {
            return UNKNOWN;
        };
        let at = (ordinal as usize).min(ids.len().saturating_sub(1));
        ids.get(at).copied().unwrap_or(UNKNOWN)
    }

    /// What the statement at `ordinal` in its text changes of its session.
    pub fn change(&self, fingerprint: u64, ordinal: u32) -> Option<&Change> {
        self.changes.get(&fingerprint)?.at(ordinal)
    }

    /// May a statement change its session in a way that is not known? Its text was never seen, or can't be read.
    pub fn is_unreadable(&self, fingerprint: u64) -> bool {
        !self.by_fingerprint.contains_key(&fingerprint)
            || matches!(self.changes.get(&fingerprint), Some(Changes::Unreadable))
    }

    /// Number of a shape; the bound makes new ones "unknown".
    pub fn intern(&mut self, shape: Shape) -> u32 {
        if let Some(id) = self.by_shape.get(&shape) {
            return *id;
        }
        if self.shapes.len() >= self.max {
            self.folded += 1;
            return UNKNOWN;
        }
        let id = u32::try_from(self.shapes.len()).unwrap_or(u32::MAX);
        let shape = Arc::new(shape);
        self.shapes.push(shape.clone());
        self.by_shape.insert(shape, id);
        id
    }

    /// The shape of a `FETCH` with the tables of the cursor's query.
    pub fn fetch(&mut self, fetch: u32, declare: u32) -> u32 {
        let declared = self.shape(declare).clone();
        let fetching = self.shape(fetch).clone();
        let mut shape = Shape::clone(&fetching);
        shape.tables = declared.tables.clone();
        let summary = std::iter::once(&*fetching.operation)
            .chain(declared.tables.iter().map(|table| &**table))
            .collect::<Vec<_>>()
            .join(" ");
        shape.summary = summary.chars().take(255).collect::<String>().into();
        self.intern(shape)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POSTGRES: Language = Language::Postgres;

    #[test]
    fn one_shape_for_equal_statements() {
        let mut shapes = Shapes::new(100);
        shapes.learn(3, b"SELECT * FROM customers WHERE id = 1", false, POSTGRES);
        shapes.learn(5, b"SELECT * FROM customers WHERE id = $1", false, POSTGRES);
        assert_eq!(shapes.lookup(3, 0), shapes.lookup(5, 0));
        assert_eq!(shapes.lookup(7, 0), UNKNOWN);
    }

    #[test]
    fn statements_of_one_text_are_told_apart() {
        let mut shapes = Shapes::new(100);
        shapes.learn(3, b"SELECT 1 FROM a; DELETE FROM b", false, POSTGRES);
        assert_eq!(&*shapes.shape(shapes.lookup(3, 0)).operation, "SELECT");
        assert_eq!(&*shapes.shape(shapes.lookup(3, 1)).operation, "DELETE");
        assert_eq!(shapes.lookup(3, 9), shapes.lookup(3, 1));
    }

    #[test]
    fn destinations_are_told_apart_under_one_fingerprint() {
        let mut shapes = Shapes::new(100);
        let learned = shapes.learn(3, b"COPY t TO '/tmp/a'", false, POSTGRES);
        assert_eq!(learned.always, Some(3));
        let first = shapes.lookup(3, 0);
        shapes.learn(3, b"COPY t TO '/tmp/b'", false, POSTGRES);
        let second = shapes.lookup(3, 0);
        let destination = |id: u32| shapes.shape(id).egress.clone().map(|e| e.destination);
        assert_eq!(destination(first).as_deref(), Some("/tmp/a"));
        assert_eq!(destination(second).as_deref(), Some("/tmp/b"));
    }

    #[test]
    fn bounds_hold() {
        let mut shapes = Shapes::new(10);
        let mut evicted = 0;
        for i in 0..100u64 {
            let text = format!("SELECT * FROM t{i}");
            evicted += u32::from(
                shapes
                    .learn(i * 2 + 1, text.as_bytes(), false, POSTGRES)
                    .forget
                    .is_some(),
            );
        }
        assert!(shapes.len() <= 10);
        assert!(shapes.folded > 0);
        assert_eq!(evicted, 60);
    }

    #[test]
    fn a_fetch_reads_its_cursors_tables() {
        let mut shapes = Shapes::new(100);
        shapes.learn(
            3,
            b"DECLARE c CURSOR FOR SELECT * FROM customers",
            false,
            POSTGRES,
        );
        shapes.learn(5, b"FETCH 100 FROM c", false, POSTGRES);
        let id = shapes.fetch(shapes.lookup(5, 0), shapes.lookup(3, 0));
        assert_eq!(shapes.shape(id).tables, ["customers".into()]);
        assert_eq!(&*shapes.shape(id).operation, "FETCH");
    }
}
