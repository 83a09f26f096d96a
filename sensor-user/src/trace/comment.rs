//! The application's trace, from a comment as sqlcommenter writes it: `/*traceparent='00-…-…-01'*/`.

use super::SpanContext;

/// The context of W3C's `traceparent` in a statement's comment, if the application samples it.
///
/// The value may be percent-encoded, as sqlcommenter does; of a traceparent that changes nothing.
pub fn traceparent(text: &[u8]) -> Option<SpanContext> {
    const KEY: &[u8] = b"traceparent='";
    let at = text.windows(KEY.len()).rposition(|window| window == KEY)? + KEY.len();
    // Comments are at the end, or at the beginning; in a literal it would be a quote within quotes, `''`.
    let value = text.get(at..at + LENGTH)?;
    if text.get(at + LENGTH) != Some(&b'\'') {
        return None;
    }
    let comment = text[..at].windows(2).rposition(|window| window == b"/*")?;
    if text[comment..at].windows(2).any(|window| window == b"*/") {
        return None;
    }
    parse(value)
}

/// `00-` trace `-` span `-` flags.
const LENGTH: usize = 3 + 32 + 1 + 16 + 1 + 2;

/// The context of a traceparent, if the application samples it.
pub fn parse(value: &[u8]) -> Option<SpanContext> {
    let value = value.get(..LENGTH)?;
    if value[..3] != *b"00-" || value[35] != b'-' || value[52] != b'-' {
        return None;
    }
    let context = SpanContext {
        trace: hexadecimal(&value[3..35])?,
        span: hexadecimal(&value[36..52])?,
    };
    let [flags] = hexadecimal(&value[53..])?;
    (flags & 1 == 1 && context.trace != [0; 16] && context.span != [0; 8]).then_some(context)
}

fn hexadecimal<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        let digit = |letter: u8| match letter {
            b'0'..=b'9' => Some(letter - b'0'),
            b'a'..=b'f' => Some(letter - b'a' + 10),
            _ => None,
        };
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_sampled_traceparent_in_a_comment_counts() {
        let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331";
        let found = |text: &str| traceparent(text.as_bytes());
        let context = found(&format!(
            "SELECT 1 /*action='x',traceparent='{parent}-01'*/"
        ))
        .expect("found");
        assert_eq!(context.trace[..2], [0x0a, 0xf7]);
        assert_eq!(context.span[7], 0x31);
        for none in [
            "SELECT 1".to_owned(),
            format!("SELECT 1 /*traceparent='{parent}-00'*/"),
            format!("SELECT traceparent='{parent}-01'"),
            format!("/* x */ SELECT traceparent='{parent}-01'"),
            format!("SELECT 1 /*traceparent='{parent}-01"),
            format!("SELECT 1 /*traceparent='{}-01'*/", parent.to_uppercase()),
            format!(
                "SELECT 1 /*traceparent='00-{}-{}-01'*/",
                "0".repeat(32),
                "0".repeat(16)
            ),
            "SELECT 1 /*traceparent='*/".to_owned(),
        ] {
            assert_eq!(found(&none), None, "{none}");
        }
    }
}
