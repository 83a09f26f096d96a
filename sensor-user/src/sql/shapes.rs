//! Fingerprint → shapes: each text is analysed once.

use std::{
    collections::{HashMap, HashSet, VecDeque, hash_map::RandomState},
    hash::BuildHasher as _,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering::Relaxed},
    },
};

use sensor_ebpf::picked::Plan;

use super::{
    Cursor, Language, Shape, mysql,
    redis::{self, patterns::Patterns},
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

/// So many texts that are still used are passed over to find one that may go.
const PASSED_OVER: usize = 64;

/// Shapes of the statements of one text.
#[derive(Debug)]
struct Known {
    ids: Arc<[u32]>,
    /// How often it was looked up, as far as that matters: twice.
    uses: AtomicU8,
}

/// Interned shapes, and which fingerprint stands for which.
#[derive(Debug)]
pub struct Shapes {
    shapes: Vec<Arc<Shape>>,
    by_shape: HashMap<Arc<Shape>, u32>,
    by_fingerprint: HashMap<u64, Known>,
    /// Of those that change their session: what.
    changes: HashMap<u64, Changes>,
    in_order: VecDeque<u64>,
    /// Of keys.
    patterns: Patterns,
    max: usize,
    /// Hashes of what is kept of those that are kept apart, should others like them be folded.
    kinds: HashSet<u64>,
    hasher: RandomState,
    /// How many of `shapes` stand for others, …
    kinds_folded: usize,
    /// … and how many may, beside those of a kind that was known before the bound was reached.
    reserve: usize,
    /// Shapes beyond the bound: folded to what detection needs of them.
    pub folded: u64,
    /// Texts that the grammar refused.
    pub unparsed: u64,
}

impl Shapes {
    /// At most `max` shapes are kept apart. Of each kind of them (operation, tables, destination, cursor) one more may stand for
    /// those beyond, and a quarter of `max` for other kinds.
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
            kinds: HashSet::new(),
            hasher: RandomState::new(),
            kinds_folded: 0,
            reserve: max / 4,
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
        let known = self.by_fingerprint.insert(
            fingerprint,
            Known {
                ids: ids.into(),
                uses: AtomicU8::new(0),
            },
        );
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
            self.pass_over_used();
            learned.forget = self.in_order.pop_front();
            if let Some(oldest) = learned.forget {
                self.by_fingerprint.remove(&oldest);
                self.changes.remove(&oldest);
            }
        }
        learned
    }

    /// Has those that were used again since they were looked at go to the end: the text of a prepared statement does not come a second
    /// time, and whoever makes up thousands of others uses each but once.
    fn pass_over_used(&mut self) {
        for _ in 0..PASSED_OVER {
            let Some(known) = self
                .in_order
                .front()
                .and_then(|oldest| self.by_fingerprint.get(oldest))
            else {
                return;
            };
            if known.uses.load(Relaxed) < 2 {
                return;
            }
            known.uses.store(1, Relaxed);
            self.in_order.rotate_left(1);
        }
    }

    /// The shape of the statement at `ordinal` in its text.
    pub fn lookup(&self, fingerprint: u64, ordinal: u32) -> u32 {
        if fingerprint == 0 {
            return UNKNOWN;
        }
        let Some(Known { ids, uses }) = self.by_fingerprint.get(&fingerprint) else {
            return UNKNOWN;
        };
        let before = uses.load(Relaxed);
        if before < 2 {
            uses.store(before + 1, Relaxed);
        }
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

    /// Number of a shape. Beyond the bound new ones are folded: whoever makes up statements hides none of the others.
    pub fn intern(&mut self, shape: Shape) -> u32 {
        if let Some(id) = self.by_shape.get(&shape) {
            return *id;
        }
        let folded = folded(&shape);
        let kind = self.hasher.hash_one(&folded);
        if self.shapes.len() - self.kinds_folded < self.max {
            self.kinds.insert(kind);
            return self.add(shape);
        }
        self.folded += 1;
        if let Some(id) = self.by_shape.get(&folded) {
            return *id;
        }
        // Tables can be made up, too: those that are known already have their place.
        if !self.kinds.contains(&kind) {
            if self.reserve == 0 {
                return UNKNOWN;
            }
            self.reserve -= 1;
        }
        self.kinds_folded += 1;
        self.add(folded)
    }

    fn add(&mut self, shape: Shape) -> u32 {
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

/// What is kept of a shape beyond the bound: all but its text. In the place of that, so that alerts and fingerprints tell these
/// apart, stands what is kept.
fn folded(shape: &Shape) -> Shape {
    // Which database follows is no detail. (Other languages' literals are gone: a number is Redis'.)
    let is_number = |text: Arc<str>| text.bytes().all(|byte| byte.is_ascii_digit());
    if mysql::uses(shape).is_some() || redis::uses(shape).is_some_and(is_number) {
        return shape.clone();
    }
    let cursor = match &shape.cursor {
        Some(Cursor::Declares(name) | Cursor::Fetches(name) | Cursor::Closes(Some(name))) => {
            Some(name)
        }
        Some(Cursor::Closes(None)) | None => None,
    };
    let words: Vec<&str> = std::iter::once(&*shape.operation)
        .chain(shape.tables.iter().map(|table| &**table))
        .chain(cursor.map(|name| &**name))
        .collect();
    Shape {
        text: format!("{} /* one of many */", words.join(" ")).into(),
        parsed: false,
        ..shape.clone()
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
        assert_eq!(shapes.len(), 10 + 10 / 4);
        assert_eq!(shapes.folded, 92);
        assert_eq!(shapes.lookup(199, 0), UNKNOWN);
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

    /// As many statements as fill every place.
    fn flood(shapes: &mut Shapes, text: impl Fn(u64) -> String) {
        for i in 0..200 {
            shapes.learn(1_000 + i, text(i).as_bytes(), false, POSTGRES);
        }
    }

    #[test]
    fn statements_that_are_made_up_hide_nothing_that_detection_needs() {
        let mut shapes = Shapes::new(40);
        flood(&mut shapes, |i| format!("SELECT 1 AS a{i}"));
        let mut learn = |fingerprint, text: &str, language| {
            let learned = shapes.learn(fingerprint, text.as_bytes(), false, language);
            assert_eq!(learned.always.is_some(), text.starts_with("COPY"));
            let id = shapes.lookup(fingerprint, 0);
            assert_ne!(id, UNKNOWN, "{text}");
            (id, shapes.shape(id).clone())
        };
        let (first, shape) = learn(1, "SELECT name FROM customers WHERE id = 7", POSTGRES);
        assert_eq!(&*shape.operation, "SELECT");
        assert_eq!(shape.tables, ["customers".into()]);
        assert_eq!(&*shape.text, "SELECT customers /* one of many */");
        let (second, _) = learn(2, "SELECT email FROM customers", POSTGRES);
        assert_eq!(first, second, "what can't be told apart is one");
        let (_, copy) = learn(3, "COPY salaries TO '/tmp/a'", POSTGRES);
        let egress = copy.egress.clone().expect("a destination");
        assert_eq!(&*egress.destination, "/tmp/a");
        let (declare, _) = learn(4, "DECLARE c CURSOR FOR SELECT * FROM wages", POSTGRES);
        let (fetch, _) = learn(5, "FETCH 100 FROM c", POSTGRES);
        let (_, uses) = learn(6, "USE shop", Language::MySql { plain: false });
        assert_eq!(mysql::uses(&uses).as_deref(), Some("shop"));
        let fetched = shapes.fetch(fetch, declare);
        assert_eq!(shapes.shape(fetched).tables, ["wages".into()]);
        assert!(shapes.len() <= 40 + 40 / 4 + 1);
    }

    #[test]
    fn tables_that_are_made_up_hide_none_that_are_known() {
        let mut shapes = Shapes::new(20);
        shapes.learn(1, b"SELECT name FROM customers", false, POSTGRES);
        flood(&mut shapes, |i| format!("SELECT * FROM t{i}"));
        assert_eq!(shapes.lookup(1_199, 0), UNKNOWN);
        shapes.learn(2, b"SELECT email FROM customers", false, POSTGRES);
        let id = shapes.lookup(2, 0);
        assert_eq!(shapes.shape(id).tables, ["customers".into()]);
        assert!(shapes.len() <= 20 + 20 / 4 + 1);
    }

    #[test]
    fn statements_that_are_made_up_drive_out_none_that_are_used() {
        let mut shapes = Shapes::new(20);
        shapes.learn(1, b"SELECT name FROM customers", false, POSTGRES);
        shapes.learn(2, b"SELECT once FROM customers", false, POSTGRES);
        for round in 0..10 {
            for i in 0..100 {
                let text = format!("SELECT 1 AS a{round}x{i}");
                let fingerprint = 1_000 * (round + 1) + i;
                shapes.learn(fingerprint, text.as_bytes(), false, POSTGRES);
                assert_ne!(shapes.lookup(fingerprint, 0), UNKNOWN);
                // A prepared statement: its text has come once.
                assert_ne!(shapes.lookup(1, 0), UNKNOWN);
            }
        }
        assert_eq!(shapes.lookup(2, 0), UNKNOWN);
    }
}
