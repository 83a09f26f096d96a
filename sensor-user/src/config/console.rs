//! `[console]`: the socket at which `sensor top` reads along.

use std::path::PathBuf;

use serde::Deserialize;
use toml::Spanned;

use super::error::Problem;

/// Where it is when nobody says otherwise: in the folder that systemd makes for the service (`RuntimeDirectory=sensor`).
pub const SOCKET: &str = "/run/sensor/sensor.sock";
/// Who may read along beside root, where there is such a group.
pub const GROUP: &str = "sensor";

/// See the example file for what each means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Console {
    /// The socket; `None`: nobody reads along.
    pub socket: Option<PathBuf>,
    /// The group that may.
    pub group: String,
    /// The file says another place or group than the default: then they must be there.
    pub asked_for: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Section {
    enabled: Option<bool>,
    socket: Option<Spanned<PathBuf>>,
    group: Option<String>,
}

impl Section {
    pub fn build(self) -> Result<Console, Problem> {
        if let Some(socket) = &self.socket {
            let path = socket.get_ref();
            // What an address of a socket has room for.
            if !path.is_absolute() || path.as_os_str().len() > 100 {
                return Err(Problem::new(
                    socket.span(),
                    format!("`{}` can't be a socket's path", path.display()),
                    "write an absolute path of at most 100 bytes, such as \"/run/sensor/sensor.sock\"",
                ));
            }
        }
        let socket = self
            .socket
            .map_or_else(|| PathBuf::from(SOCKET), Spanned::into_inner);
        let group = self.group.unwrap_or_else(|| GROUP.to_owned());
        Ok(Console {
            asked_for: socket.as_os_str() != SOCKET || group != GROUP,
            socket: self.enabled.unwrap_or(true).then_some(socket),
            group,
        })
    }
}
