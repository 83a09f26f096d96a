//! What a database's language makes a literal or a comment.

/// See the module.
pub trait Dialect: Copy {
    /// MySQL's rules: backslashes escape, `"` may be a literal's, names stand in backticks, `#` and `-- ` begin comments,
    /// `/*!` does not, `?` is a parameter, and a NUL is a byte like any other.
    const MYSQL: bool;
    /// Sets equal texts of different languages apart.
    const SEED: u64;
    /// Is a backslash in a literal a byte like any other (MySQL's `NO_BACKSLASH_ESCAPES`)?
    fn is_plain(self) -> bool;
}

/// PostgreSQL's.
#[derive(Clone, Copy, Debug)]
pub struct Postgres;

impl Dialect for Postgres {
    const MYSQL: bool = false;
    const SEED: u64 = 0;
    #[inline(always)]
    fn is_plain(self) -> bool {
        false
    }
}

/// MySQL's and MariaDB's.
#[derive(Clone, Copy, Debug)]
pub struct MySql {
    /// See [`Dialect::is_plain`].
    pub plain: bool,
}

impl Dialect for MySql {
    const MYSQL: bool = true;
    const SEED: u64 = u64::from_le_bytes(*b"MySQL\0\0\0");
    #[inline(always)]
    fn is_plain(self) -> bool {
        self.plain
    }
}
