//! Records of the kernel's: none is read beyond its end.

use sensor_user::ingest::{Observation, decode};

/// A record.
pub fn check(input: &[u8]) {
    match decode(input) {
        Ok(Observation::Text { text, .. }) => within(text, input),
        Ok(Observation::Startup { parameters, .. }) => within(parameters, input),
        Ok(observation) => {
            // Every field can be looked at.
            let _ = format!("{observation:?}");
        }
        Err(malformed) => assert_eq!(malformed.length, input.len()),
    }
}

fn within(text: &[u8], record: &[u8]) {
    let (text, record) = (text.as_ptr_range(), record.as_ptr_range());
    assert!(record.start <= text.start && text.end <= record.end);
}
