//! The subject of a client's certificate, as it may be shown.

use std::sync::Arc;

use super::startup::escaped;

/// `CN=` and the common name, which is all that is known of the subject, escaped so that it can't pass for more of a distinguished
/// name than it is (RFC 4514). Nothing when the server refuses it: a name with a NUL, or none.
pub fn subject(name: &[u8], truncated: bool) -> Option<Arc<str>> {
    if name.is_empty() || name.contains(&0) {
        return None;
    }
    // A character that was cut in the middle goes.
    let cut = match std::str::from_utf8(name) {
        Err(error) if truncated && error.error_len().is_none() => error.valid_up_to(),
        _ => name.len(),
    };
    let last = cut - 1;
    let mut value = Vec::with_capacity(cut + 8);
    for (at, byte) in name[..cut].iter().enumerate() {
        let escape = match byte {
            b'"' | b'+' | b',' | b';' | b'<' | b'>' | b'\\' | b'=' => true,
            b'#' => at == 0,
            b' ' => at == 0 || at == last && !truncated,
            _ => false,
        };
        if escape {
            value.push(b'\\');
        }
        value.push(*byte);
    }
    let end = if truncated { "…" } else { "" };
    Some(format!("CN={}{end}", escaped(&value)).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(name: &[u8]) -> String {
        subject(name, false).expect("a subject").to_string()
    }

    #[test]
    fn the_common_name_is_part_of_a_distinguished_name() {
        assert_eq!(shown(b"ann"), "CN=ann");
        assert_eq!(shown("Änne Müller".as_bytes()), "CN=Änne Müller");
    }

    #[test]
    fn it_passes_for_no_more_than_it_is() {
        assert_eq!(shown(b"ann,O=Bank"), "CN=ann\\,O\\=Bank");
        assert_eq!(shown(b"#1 \"a\\b\""), "CN=\\#1 \\\"a\\\\b\\\"");
        assert_eq!(shown(b" ann "), "CN=\\ ann\\ ");
        assert_eq!(shown(b"ann\x1b[2J\n"), "CN=ann\\u{1b}[2J\\u{a}");
        // What the sensor would say of a control character, told from the characters themselves.
        assert_eq!(shown(b"ann\\u{1b}"), "CN=ann\\\\u{1b}");
        assert_eq!(shown("a\u{202e}b".as_bytes()), "CN=a\\u{202e}b");
        // A T61String, say.
        assert_eq!(shown(b"M\xfcller"), "CN=M\\xfcller");
    }

    #[test]
    fn a_name_that_the_server_refuses_names_nobody() {
        assert_eq!(subject(b"ann\0.evil", false), None);
        // UTF-16, as in a BMPString.
        assert_eq!(subject(b"\0a\0n\0n", false), None);
        assert_eq!(subject(b"", false), None);
    }

    #[test]
    fn a_long_name_says_that_it_goes_on() {
        let long = "ä".repeat(200);
        let cut = subject(&long.as_bytes()[..255], true).expect("a subject");
        assert_eq!(*cut, format!("CN={}…", "ä".repeat(127)));
        assert_eq!(&*subject(b"a ", true).expect("a subject"), "CN=a …");
    }
}
