//! The names as a page for people, docs/metrics.md.

use std::fmt::Write as _;

use crate::volume::spread::BOUNDS;

use super::{ANOMALY, ATTRIBUTES, Kind, METRICS, PICKED, PROBABILITY, SAMPLED_BY, STATEMENTS};

/// docs/metrics.md.
fn reference_markdown() -> String {
    let mut text = String::from(
        "# Metrics, events and attributes\n\n\
         Made from `sensor-user/src/export/names.rs`; a test holds both against each other (`UPDATE_DOCS=1 cargo test -p \
         sensor-user` rewrites this file).\n\nNames follow the OpenTelemetry semantic conventions where they have one; \
         own names are all under `data_access.`.\n\n## Metrics\n\nSums are monotonic and cumulative. \
         Volumes that have no series of their own (`max_series`, `statement_series`) are in one with the user `other`: the \
         sum over the series is always all there is. Buckets of histograms (`histogram_series`) end with BOUNDS.\n\n\
         | metric | unit | kind | what it says | attributes |\n| --- | --- | --- | --- | --- |\n",
    );
    let bounds: Vec<String> = BOUNDS.iter().map(u64::to_string).collect();
    text = text.replace("BOUNDS", &bounds.join(", "));
    for metric in METRICS {
        let kind = match metric.kind {
            Kind::Sum => "sum",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        let attributes = metric
            .attributes
            .iter()
            .map(|attribute| format!("`{attribute}`"))
            .collect::<Vec<_>>()
            .join(", ");
        let _ = writeln!(
            text,
            "| `{}` | {} | {kind} | {} | {attributes} |",
            metric.name, metric.unit, metric.description
        );
    }
    let _ = write!(
        text,
        "\n## Events\n\nAn alert is a log record with the event name `{ANOMALY}`, severity INFO (9), WARN (13) or ERROR \
         (17), a body that a person can read, and structured attributes. Its trace id leads to a trace of the statements \
         in its window: one root span for the alert, a span for each statement shape; the root has a link to the session.\n\n\
         With `[export.records]` there are log records with the event name `{PICKED}`, severity INFO: which records a \
         principal picked of a table since the last one, as a sketch that unites with others over hosts and times \
         (docs/decisions/fleet.md).\n\n\
         ## Traces\n\nA connection is a trace (an hour of it, or 5,000 spans: then another one begins, linked to it). Its root \
         is the session, `session <user> <database>`, told when it ends; a statement is a span named by \
         `db.query.summary`, with the kernel's times of request and last answer. `{SAMPLED_BY}` says why it was told, \
         `{PROBABILITY}` stands for how many (docs/decisions/traces.md). Small equal statements that the kernel has \
         added up are one span with `{STATEMENTS}`, from the first's begin to the last's end.\n\n\
         ## Attributes\n\n| attribute | what it says |\n| --- | --- |\n"
    );
    for attribute in ATTRIBUTES {
        let _ = writeln!(text, "| `{}` | {} |", attribute.key, attribute.description);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_names_are_under_data_access() {
        for metric in METRICS {
            assert!(metric.name.starts_with("data_access."), "{}", metric.name);
            for attribute in metric.attributes {
                assert!(
                    ATTRIBUTES.iter().any(|known| known.key == *attribute),
                    "{attribute} of {} is not described",
                    metric.name
                );
            }
        }
    }

    #[test]
    fn the_reference_is_up_to_date() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/metrics.md");
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(path, reference_markdown()).expect("docs/metrics.md is writable");
        }
        let written = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            written == reference_markdown(),
            "docs/metrics.md is out of date: run UPDATE_DOCS=1 cargo test -p sensor-user"
        );
    }
}
