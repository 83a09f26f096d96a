//! What a client of MySQL or MariaDB says of itself: its answer to the handshake, and a change of user.

use std::sync::Arc;

use super::startup::{Startup, apart, escaped};

/// Of a client's capabilities: it names a database.
const CONNECT_WITH_DB: u64 = 1 << 3;
/// Its proof has a length of one byte in front.
const SECURE_CONNECTION: u64 = 1 << 15;
/// It names a way to authenticate.
const PLUGIN_AUTH: u64 = 1 << 19;
/// It describes itself by attributes.
const CONNECT_ATTRS: u64 = 1 << 20;
/// Its proof has a length of any size in front.
const LENENC_AUTH: u64 = 1 << 21;
/// Capabilities, largest packet, character set, and what is reserved.
const FIXED: usize = 32;

/// Bytes of the longest name: MariaDB's users have up to 128 characters of three.
const NAME: usize = 384;

/// A name as it may be shown.
fn name(bytes: &[u8]) -> Arc<str> {
    escaped(&bytes[..bytes.len().min(NAME)])
}

/// Parses the answer to the handshake. What its proof is, is passed over.
pub fn response(bytes: &[u8]) -> Startup {
    let mut startup = Startup::default();
    let mut fields = Fields(bytes);
    let Some(fixed) = fields.take(FIXED) else {
        return startup;
    };
    let capabilities = u64::from(u32::from_le_bytes([fixed[0], fixed[1], fixed[2], fixed[3]]));
    let Some(user) = fields.text() else {
        return startup;
    };
    let proof = if capabilities & LENENC_AUTH != 0 {
        fields.number().and_then(|length| fields.take(length))
    } else if capabilities & SECURE_CONNECTION != 0 {
        fields.byte().and_then(|length| fields.take(length.into()))
    } else {
        fields.text()
    };
    if proof.is_none() {
        return startup;
    }
    startup.user = Some(apart(name(user)));
    startup.database = Some("".into());
    if capabilities & CONNECT_WITH_DB != 0 {
        startup.database = fields.text().map(name);
    }
    if capabilities & PLUGIN_AUTH != 0 {
        fields.text();
    }
    if capabilities & CONNECT_ATTRS != 0 {
        startup.application_name = fields.program().map_or_else(|| "".into(), name);
    }
    startup
}

/// Parses a change of user.
pub fn change_user(bytes: &[u8]) -> Startup {
    let mut startup = Startup::default();
    let mut fields = Fields(bytes);
    let Some(user) = fields.text() else {
        return startup;
    };
    if fields
        .byte()
        .and_then(|length| fields.take(length.into()))
        .is_none()
    {
        return startup;
    }
    startup.user = Some(apart(name(user)));
    startup.database = fields.text().map(name);
    // Character set and way to authenticate.
    if fields.take(2).is_some() && fields.text().is_some() {
        startup.application_name = fields.program().map_or_else(|| "".into(), name);
    }
    startup
}

/// What has not been read yet.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|byte| byte[0])
    }

    /// Up to a NUL, which there must be: half a name is a wrong name.
    fn text(&mut self) -> Option<&'a [u8]> {
        let length = self.0.iter().position(|byte| *byte == 0)?;
        let text = self.take(length);
        self.0 = &self.0[1..];
        text
    }

    /// A number of one to nine bytes.
    fn number(&mut self) -> Option<usize> {
        let length = match self.byte()? {
            0xfc => 2,
            0xfd => 3,
            0xfe => 8,
            number => return Some(number.into()),
        };
        let mut bytes = [0; 8];
        bytes[..length].copy_from_slice(self.take(length)?);
        usize::try_from(u64::from_le_bytes(bytes)).ok()
    }

    /// The attribute that says which program it is.
    fn program(&mut self) -> Option<&'a [u8]> {
        let length = self.number()?;
        let mut attributes = Fields(&self.0[..length.min(self.0.len())]);
        loop {
            let length = attributes.number()?;
            let key = attributes.take(length)?;
            let length = attributes.number()?;
            let value = attributes.take(length)?;
            if key == b"program_name" {
                return Some(value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(capabilities: u64, rest: &[u8]) -> Vec<u8> {
        let mut bytes = (capabilities as u32).to_le_bytes().to_vec();
        bytes.resize(FIXED, 0);
        bytes.extend(rest);
        bytes
    }

    const ATTRIBUTES: &[u8] = b"\x1b\x04_pid\x0242\x0cprogram_name\x05mysql";

    #[test]
    fn reads_every_form() {
        let all = CONNECT_WITH_DB | PLUGIN_AUTH | CONNECT_ATTRS;
        let rest =
            |proof: &[u8]| [b"ann\0", proof, b"crm\0mysql_native_password\0", ATTRIBUTES].concat();
        for (capabilities, proof) in [
            (all | LENENC_AUTH | SECURE_CONNECTION, &b"\x03\0\0\0"[..]),
            (all | SECURE_CONNECTION, b"\x02xy"),
            (all | SECURE_CONNECTION, b"\0"),
            (all, b"old\0"),
        ] {
            let startup = response(&bytes(capabilities, &rest(proof)));
            assert_eq!(startup.user.as_deref(), Some("ann"));
            assert_eq!(startup.database.as_deref(), Some("crm"));
            assert_eq!(&*startup.application_name, "mysql");
        }
        let startup = response(&bytes(SECURE_CONNECTION, b"ann\0\0"));
        assert_eq!(startup.user.as_deref(), Some("ann"));
        assert_eq!(startup.database.as_deref(), Some(""));
    }

    #[test]
    fn reads_a_change_of_user() {
        let startup = change_user(
            &[
                &b"bob\0\x02xycrm\0\x21\0mysql_native_password\0"[..],
                ATTRIBUTES,
            ]
            .concat(),
        );
        assert_eq!(startup.user.as_deref(), Some("bob"));
        assert_eq!(startup.database.as_deref(), Some("crm"));
        assert_eq!(&*startup.application_name, "mysql");
    }

    #[test]
    fn names_are_whole_and_pass_for_nothing_else() {
        let long = "é".repeat(128);
        let answer = [long.as_bytes(), b"\0\0"].concat();
        let startup = response(&bytes(SECURE_CONNECTION, &answer));
        assert_eq!(startup.user.as_deref(), Some(long.as_str()));
        let startup = change_user(b"(other)\0\0\0");
        assert_eq!(startup.user.as_deref(), Some("\"(other)\""));
    }

    #[test]
    fn half_a_name_is_none() {
        let whole = bytes(CONNECT_WITH_DB | SECURE_CONNECTION, b"ann\0\x02xycrm\0");
        for length in 0..whole.len() {
            let startup = response(&whole[..length]);
            assert!(startup.user.is_none_or(|user| &*user == "ann"));
            assert!(startup.database.is_none_or(|database| database.is_empty()));
        }
        assert_eq!(change_user(b"bob").user, None);
    }
}
