//! Errors that say what, where and what to do.

use std::{fmt, io, ops::Range, path::Path};

/// A configuration that is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError(String);

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ConfigError {}

impl ConfigError {
    pub(super) fn unreadable(path: &Path, error: &io::Error) -> Self {
        Self(format!(
            "cannot read the configuration file {}: {error}\nhint: give an existing file with --config, or none at all for the defaults",
            path.display()
        ))
    }
}

/// A value that makes no sense, and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Problem {
    pub what: String,
    pub hint: String,
    pub span: Option<Range<usize>>,
}

impl Problem {
    pub fn new(span: Range<usize>, what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            hint: hint.into(),
            span: Some(span),
        }
    }
}

/// The file that is parsed.
pub(super) struct Source<'a> {
    pub text: &'a str,
    pub path: &'a Path,
}

impl Source<'_> {
    pub fn syntax(&self, error: &toml::de::Error) -> ConfigError {
        let message = error.message();
        self.problem(&Problem {
            what: message.lines().collect::<Vec<_>>().join(" "),
            hint: hint(message),
            span: error.span(),
        })
    }

    pub fn problem(&self, problem: &Problem) -> ConfigError {
        let path = self.path.display();
        let Some(span) = &problem.span else {
            return ConfigError(format!("{path}: {}\nhint: {}", problem.what, problem.hint));
        };
        let start = span.start.min(self.text.len());
        let before = self.text.get(..start).unwrap_or_default();
        let line_number = before.matches('\n').count() + 1;
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let line = self
            .text
            .get(line_start..)
            .unwrap_or_default()
            .lines()
            .next()
            .unwrap_or_default();
        let column = before.get(line_start..).unwrap_or_default().chars().count() + 1;
        let width = span
            .end
            .saturating_sub(span.start)
            .clamp(1, line.chars().count().saturating_sub(column - 1).max(1));
        ConfigError(format!(
            "{path}:{line_number}:{column}: {}\n  | {line}\n  | {}{}\nhint: {}",
            problem.what,
            " ".repeat(column - 1),
            "^".repeat(width),
            problem.hint
        ))
    }
}

/// A hint for the parser's own messages; for an unknown key, the one that was probably meant.
fn hint(message: &str) -> String {
    let mut quoted = message.split('`').skip(1).step_by(2);
    if message.starts_with("unknown field") {
        let wrong = quoted.next().unwrap_or_default();
        let known: Vec<&str> = quoted.collect();
        let nearest = known
            .iter()
            .min_by_key(|key| distance(wrong, key))
            .filter(|key| distance(wrong, key) <= 1 + wrong.len() / 3);
        return match nearest {
            Some(key) => format!("did you mean `{key}`?"),
            None => format!("the keys here are: {}", known.join(", ")),
        };
    }
    if message.starts_with("unknown variant") {
        let known: Vec<&str> = quoted.skip(1).collect();
        return format!("allowed here: {}", known.join(", "));
    }
    if message.starts_with("missing field") {
        return format!("add `{} = …`", quoted.next().unwrap_or_default());
    }
    "see the commented example that `sensor config example` prints".to_owned()
}

/// Levenshtein's distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    #[test]
    fn distances() {
        assert_eq!(super::distance("limt", "limit"), 1);
        assert_eq!(super::distance("", "abc"), 3);
        assert_eq!(super::distance("window", "window"), 0);
    }
}
