//! Sketches of distinct records as log records: what Prometheus can't add up over hosts, SQL can unite.

use std::fmt::Write as _;

use opentelemetry_proto::tonic::{
    collector::logs::v1::ExportLogsServiceRequest,
    logs::v1::{LogRecord, ResourceLogs, ScopeLogs, SeverityNumber},
};
use prost::Message as _;

use super::{LARGEST_REQUEST, Messages, POINT_OVERHEAD, any_value, key_values, schema_url};
use crate::{
    detect::sketch::Distinct,
    export::{Value, names, point::Attributes},
    time::Timestamp,
};

/// Which records a principal picked of a table in a time.
#[derive(Clone, Debug)]
pub struct Sketch {
    /// Whose, of which table.
    pub attributes: Attributes,
    /// From then on …
    pub since: Timestamp,
    /// … until then.
    pub time: Timestamp,
    /// Which.
    pub records: Distinct,
    /// Stands for the secret that they are hashed under.
    pub secret: u64,
}

impl Messages {
    /// Sketches, in requests that each stay below what receivers take.
    pub fn records(&self, sketches: &[Sketch]) -> Vec<ExportLogsServiceRequest> {
        let mut requests = Vec::new();
        let mut records = Vec::new();
        let mut size = 0;
        for sketch in sketches {
            let record = log_record(sketch);
            let length = record.encoded_len() + POINT_OVERHEAD;
            if size + length > LARGEST_REQUEST {
                requests.push(self.log_request(std::mem::take(&mut records)));
                size = 0;
            }
            size += length;
            records.push(record);
        }
        if !records.is_empty() {
            requests.push(self.log_request(records));
        }
        requests
    }

    fn log_request(&self, log_records: Vec<LogRecord>) -> ExportLogsServiceRequest {
        ExportLogsServiceRequest {
            resource_logs: vec![ResourceLogs {
                resource: Some(self.resource.clone()),
                scope_logs: vec![ScopeLogs {
                    scope: Some(self.scope.clone()),
                    log_records,
                    schema_url: schema_url(),
                }],
                schema_url: schema_url(),
            }],
        }
    }
}

fn log_record(sketch: &Sketch) -> LogRecord {
    // Never negative, far below 2^53.
    let count = sketch.records.count(0).round() as u64;
    let mut attributes = sketch.attributes.clone();
    attributes.extend([
        (names::SINCE, sketch.since.to_string().as_str().into()),
        (names::RECORD_COUNT, count.into()),
        (
            names::RECORD_HASHES,
            hexadecimal(&sketch.records).as_str().into(),
        ),
        (names::RECORD_LIMIT, sketch.records.limit().into()),
        (
            names::RECORD_SECRET,
            format!("{:016x}", sketch.secret).as_str().into(),
        ),
    ]);
    LogRecord {
        time_unix_nano: sketch.time.0,
        observed_time_unix_nano: sketch.time.0,
        severity_number: SeverityNumber::Info as i32,
        severity_text: "INFO".to_owned(),
        body: Some(any_value(&Value::from(
            format!("{count} distinct records").as_str(),
        ))),
        attributes: key_values(&attributes),
        event_name: names::PICKED.to_owned(),
        ..LogRecord::default()
    }
}

fn hexadecimal(records: &Distinct) -> String {
    let mut text = String::new();
    for hash in records.hashes() {
        let blank = if text.is_empty() { "" } else { " " };
        let _ = write!(text, "{blank}{hash:08x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sketch(records: std::ops::Range<u64>) -> Sketch {
        let mut distinct = Distinct::default();
        for record in records {
            distinct.insert(record, 0, 512);
        }
        Sketch {
            attributes: vec![(names::USER_NAME, "ann".into())],
            since: Timestamp(1),
            time: Timestamp(2),
            records: distinct,
            secret: 0xab,
        }
    }

    #[test]
    fn a_sketch_says_what_unites_it_with_others() {
        let record = log_record(&sketch(0..3));
        let text = |key: &str| {
            let mut attributes = record.attributes.iter();
            let found = attributes.find(|attribute| attribute.key == key);
            format!("{:?}", found.and_then(|found| found.value.as_ref()))
        };
        assert!(text(names::RECORD_COUNT).contains("IntValue(3)"));
        assert!(text(names::RECORD_LIMIT).contains("IntValue(4294967296)"));
        assert!(text(names::RECORD_SECRET).contains("\"00000000000000ab\""));
        let hashes = hexadecimal(&sketch(0..3).records);
        assert_eq!(hashes.len(), 3 * 9 - 1);
        assert!(hashes.split(' ').is_sorted(), "{hashes}");
    }

    #[test]
    fn each_request_is_smaller_than_receivers_take() {
        let sketches = vec![sketch(0..10_000); 1000];
        let requests = Messages::new(&[]).records(&sketches);
        let count: usize = requests
            .iter()
            .inspect(|request| assert!(request.encoded_len() < 4 << 20))
            .map(|request| request.resource_logs[0].scope_logs[0].log_records.len())
            .sum();
        assert_eq!(count, 1000);
        assert!(requests.len() > 1);
    }
}
