//! The few messages of `google.rpc` that receivers answer with; not worth a crate.

use std::time::Duration;

use prost::Message;

/// `google.rpc.Status`.
#[derive(Clone, PartialEq, Message)]
pub struct RpcStatus {
    /// gRPC code.
    #[prost(int32, tag = "1")]
    pub code: i32,
    /// For people.
    #[prost(string, tag = "2")]
    pub message: String,
    /// For programs.
    #[prost(message, repeated, tag = "3")]
    pub details: Vec<Any>,
}

/// `google.protobuf.Any`.
#[derive(Clone, PartialEq, Message)]
pub struct Any {
    /// Which message.
    #[prost(string, tag = "1")]
    pub type_url: String,
    /// Its encoding.
    #[prost(bytes = "vec", tag = "2")]
    pub value: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    retry_delay: Option<Delay>,
}

/// `google.protobuf.Duration`.
#[derive(Clone, PartialEq, Message)]
struct Delay {
    #[prost(int64, tag = "1")]
    seconds: i64,
    #[prost(int32, tag = "2")]
    nanos: i32,
}

const RETRY_INFO: &str = "type.googleapis.com/google.rpc.RetryInfo";

/// The pause that the details of a gRPC status ask for.
pub fn retry_delay(details: &[u8]) -> Option<Duration> {
    let status = RpcStatus::decode(details).ok()?;
    let info = status
        .details
        .iter()
        .find(|detail| detail.type_url == RETRY_INFO)?;
    let delay = RetryInfo::decode(&*info.value)
        .ok()?
        .retry_delay
        .unwrap_or_default();
    Some(Duration::new(
        u64::try_from(delay.seconds).unwrap_or(0),
        u32::try_from(delay.nanos).unwrap_or(0).min(999_999_999),
    ))
}

/// Details of a gRPC status that ask for a pause.
#[cfg(test)]
pub fn retry_details(seconds: i64) -> Vec<u8> {
    let info = RetryInfo {
        retry_delay: Some(Delay { seconds, nanos: 0 }),
    };
    RpcStatus {
        code: 8,
        message: "too much".to_owned(),
        details: vec![Any {
            type_url: RETRY_INFO.to_owned(),
            value: info.encode_to_vec(),
        }],
    }
    .encode_to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_receivers_delay_is_read() {
        let delay = |seconds| retry_delay(&retry_details(seconds));
        assert_eq!(delay(3), Some(Duration::from_secs(3)));
        assert_eq!(delay(0), Some(Duration::ZERO));
        assert_eq!(delay(-1), Some(Duration::ZERO));
        assert_eq!(retry_delay(b""), None);
        assert_eq!(retry_delay(b"nonsense"), None);
        assert_eq!(retry_delay(&RpcStatus::default().encode_to_vec()), None);
    }
}
