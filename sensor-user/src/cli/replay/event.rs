//! One row of an events file.

use crate::{
    detect::observation::{KeyOrder, Keys, Observation},
    time::Timestamp,
};

/// What a column may be called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Column {
    Time,
    Principal,
    Group,
    Host,
    OsUser,
    Database,
    Table,
    Operation,
    Fingerprint,
    StatementRows,
    Rows,
    Bytes,
    Queries,
    DistinctKeys,
    Keys,
    KeyOrder,
}

/// Names of columns, and whether each must be there.
const NAMES: [(&str, Column, bool); 16] = [
    ("time", Column::Time, true),
    ("principal", Column::Principal, true),
    ("group", Column::Group, false),
    ("host", Column::Host, false),
    ("os_user", Column::OsUser, false),
    ("database", Column::Database, false),
    ("table", Column::Table, false),
    ("operation", Column::Operation, false),
    ("fingerprint", Column::Fingerprint, false),
    ("statement_rows", Column::StatementRows, false),
    ("rows", Column::Rows, true),
    ("bytes", Column::Bytes, false),
    ("queries", Column::Queries, false),
    ("distinct_keys", Column::DistinctKeys, false),
    ("keys", Column::Keys, false),
    ("key_order", Column::KeyOrder, false),
];

/// Where each column stands.
#[derive(Debug)]
pub struct Columns {
    order: Vec<Column>,
    keys: Vec<u64>,
}

/// The fields of a row, as far as they were read.
#[derive(Debug, Default)]
struct Fields<'a> {
    time: Timestamp,
    principal: &'a str,
    group: &'a str,
    host: &'a str,
    os_user: &'a str,
    database: &'a str,
    table: &'a str,
    operation: &'a str,
    fingerprint: u64,
    statement_rows: Option<u64>,
    rows: u64,
    bytes: u64,
    queries: Option<u64>,
    distinct_keys: Option<u64>,
    key_order: KeyOrder,
}

impl Columns {
    /// From the header row.
    ///
    /// # Errors
    /// When a column is unknown, there twice, or missing.
    pub fn new(header: &csv::ByteRecord) -> Result<Self, String> {
        let known = NAMES.map(|(name, _, _)| name).join(", ");
        let mut order = Vec::new();
        for name in header {
            let name = String::from_utf8_lossy(name);
            let name = name.trim().trim_start_matches('\u{feff}');
            let Some((_, column, _)) = NAMES.iter().find(|(known, _, _)| *known == name) else {
                return Err(format!(
                    "events: unknown column `{name}`\nhint: the columns are {known}"
                ));
            };
            if order.contains(column) {
                return Err(format!("events: column `{name}` is there twice"));
            }
            order.push(*column);
        }
        for (name, column, required) in NAMES {
            if required && !order.contains(&column) {
                return Err(format!(
                    "events: column `{name}` is missing\nhint: the columns are {known}; time, principal and rows must be there"
                ));
            }
        }
        Ok(Self {
            order,
            keys: Vec::new(),
        })
    }

    /// Reads a row and hands it on.
    ///
    /// # Errors
    /// When a field makes no sense.
    pub fn read(
        &mut self,
        record: &csv::ByteRecord,
        take: impl FnOnce(Observation<'_>),
    ) -> Result<(), String> {
        let mut fields = Fields::default();
        self.keys.clear();
        let mut has_keys = false;
        let not_utf8 = || "a field is not UTF-8".to_owned();
        // Once for the row: a history has dozens of millions of fields.
        let row = std::str::from_utf8(record.as_slice()).map_err(|_| not_utf8())?;
        for (at, column) in self.order.iter().enumerate() {
            let field = record.range(at).unwrap_or_default();
            let text = trimmed(row.get(field).ok_or_else(not_utf8)?);
            match column {
                Column::Time => fields.time = time(text)?,
                Column::Principal if text.is_empty() => {
                    return Err("`principal` is empty".to_owned());
                }
                Column::Principal => fields.principal = text,
                Column::Group => fields.group = text,
                Column::Host => fields.host = text,
                Column::OsUser => fields.os_user = text,
                Column::Database => fields.database = text,
                Column::Table => fields.table = text,
                Column::Operation => fields.operation = text,
                Column::Fingerprint => {
                    fields.fingerprint = if text.is_empty() {
                        0
                    } else {
                        u64::from_str_radix(text.trim_start_matches("0x"), 16)
                            .map_err(|_| format!("fingerprint `{text}` is not hexadecimal"))?
                    }
                }
                Column::StatementRows => fields.statement_rows = number("statement_rows", text)?,
                Column::Rows => fields.rows = number("rows", text)?.unwrap_or(0),
                Column::Bytes => fields.bytes = number("bytes", text)?.unwrap_or(0),
                Column::Queries => fields.queries = number("queries", text)?,
                Column::DistinctKeys => fields.distinct_keys = number("distinct_keys", text)?,
                Column::Keys => {
                    for key in text.split_ascii_whitespace() {
                        self.keys.push(
                            u64::from_str_radix(key, 16)
                                .map_err(|_| format!("key `{key}` is not a hexadecimal hash"))?,
                        );
                    }
                    has_keys = !self.keys.is_empty();
                }
                Column::KeyOrder => {
                    fields.key_order = match text {
                        "" => KeyOrder::Unknown,
                        "ascending" => KeyOrder::Ascending,
                        "random" => KeyOrder::Random,
                        _ => {
                            return Err(format!(
                                "key_order `{text}` is none of ascending, random and empty"
                            ));
                        }
                    }
                }
            }
        }
        take(Observation {
            time: fields.time,
            principal: fields.principal,
            group: fields.group,
            host: fields.host,
            os_user: fields.os_user,
            database: fields.database,
            tables: &[fields.table],
            operation: fields.operation,
            fingerprint: fields.fingerprint,
            rows: fields.rows,
            statement_rows: fields.statement_rows,
            bytes: fields.bytes,
            queries: fields.queries.unwrap_or(1),
            keys: match (has_keys, fields.distinct_keys) {
                (true, _) => Keys::Hashes(&self.keys),
                (false, Some(count)) => Keys::Count(count),
                (false, None) => Keys::Unknown,
            },
            key_order: fields.key_order,
        });
        Ok(())
    }
}

/// Without blanks around it; most have none.
fn trimmed(text: &str) -> &str {
    match text.as_bytes() {
        [first, .., last] if first.is_ascii_graphic() && last.is_ascii_graphic() => text,
        _ => text.trim(),
    }
}

fn number(name: &str, text: &str) -> Result<Option<u64>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    text.parse()
        .map(Some)
        .map_err(|_| format!("{name} `{text}` is not a whole number"))
}

/// RFC 3339, or seconds since 1970 with an optional fraction.
fn time(text: &str) -> Result<Timestamp, String> {
    let problem = || format!("time `{text}` is neither RFC 3339 nor seconds since 1970");
    if text
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'.')
    {
        let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
        let seconds: u64 = seconds.parse().map_err(|_| problem())?;
        let mut nanos = 0u64;
        for (at, digit) in fraction.bytes().take(9).enumerate() {
            if !digit.is_ascii_digit() {
                return Err(problem());
            }
            // Fits: at most eight.
            nanos += u64::from(digit - b'0') * 10u64.pow(8 - at as u32);
        }
        return seconds
            .checked_mul(1_000_000_000)
            .and_then(|whole| whole.checked_add(nanos))
            .map(Timestamp)
            .ok_or_else(problem);
    }
    crate::config::units::rfc3339(text).ok_or_else(problem)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns(names: &[&str]) -> Result<Columns, String> {
        Columns::new(&csv::ByteRecord::from(names.to_vec()))
    }

    #[test]
    fn unknown_and_missing_columns_are_named() {
        let error = columns(&["time", "principal", "rows", "colour"]).expect_err("unknown");
        assert!(error.contains("`colour`"), "{error}");
        let error = columns(&["time", "rows"]).expect_err("missing");
        assert!(error.contains("`principal` is missing"), "{error}");
    }

    #[test]
    fn rows_are_read_in_any_order() {
        let mut columns =
            columns(&["rows", "keys", "time", "principal", "fingerprint"]).expect("valid");
        let record = csv::ByteRecord::from(vec!["12", "ff 1", "1709210096.789", "ann", "00ab"]);
        let mut seen = false;
        columns
            .read(&record, |observation| {
                seen = true;
                assert_eq!(observation.rows, 12);
                assert_eq!(observation.keys, Keys::Hashes(&[255, 1]));
                assert_eq!(observation.time, Timestamp(1_709_210_096_789_000_000));
                assert_eq!(observation.principal, "ann");
                assert_eq!(observation.fingerprint, 0xab);
                assert_eq!(observation.queries, 1);
            })
            .expect("valid");
        assert!(seen);
    }

    #[test]
    fn blanks_around_fields_are_none_of_them_and_other_encodings_are_refused() {
        let mut columns = columns(&["time", "principal", "rows"]).expect("valid");
        let record = csv::ByteRecord::from(vec!["1", " Zoë\u{a0}", " 7 "]);
        columns
            .read(&record, |observation| {
                assert_eq!((observation.principal, observation.rows), ("Zoë", 7));
            })
            .expect("valid");
        // Whole as bytes in a row, and torn between two fields.
        for fields in [[&b"1"[..], b"\xe9", b"7"], [b"1", b"ann\xc3", b"\xab"]] {
            let record = csv::ByteRecord::from(fields.to_vec());
            let error = columns.read(&record, |_| {}).expect_err("Latin-1");
            assert!(error.contains("not UTF-8"), "{error}");
        }
    }

    #[test]
    fn times_are_read_as_people_write_them() {
        for text in [
            "2024-02-29T12:34:56.789Z",
            "2024-02-29T13:34:56.789+01:00",
            "2024-02-29 12:34:56.789Z",
            "1709210096.789",
        ] {
            assert_eq!(
                time(text),
                Ok(Timestamp(1_709_210_096_789_000_000)),
                "{text}"
            );
        }
        assert!(time("yesterday").is_err());
    }

    #[test]
    fn wrong_fields_are_named() {
        let mut columns = columns(&["time", "principal", "rows"]).expect("valid");
        let record = csv::ByteRecord::from(vec!["1", "ann", "many"]);
        let error = columns.read(&record, |_| {}).expect_err("no number");
        assert!(error.contains("rows `many`"), "{error}");
    }
}
