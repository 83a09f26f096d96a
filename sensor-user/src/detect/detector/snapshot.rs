//! The detector's state as bytes, so that a restart costs nothing.

use std::fmt;

use super::{Detector, State};
use crate::{
    config::{detection::Detection, tables::TableSizes},
    detect::mix,
};

/// The first bytes: what it is.
const MAGIC: [u8; 6] = *b"DETECT";
/// The layout; raised with every change of what is stored.
pub const VERSION: u16 = 4;
/// Magic, version, checksum.
const HEADER: usize = MAGIC.len() + 2 + 8;

/// Why a snapshot can't be taken up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SnapshotError {
    /// Too short, or something else.
    NoSnapshot,
    /// Of another layout.
    Version(u16),
    /// Damaged.
    Damaged,
}

impl fmt::Display for SnapshotError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSnapshot => f.write_str("these bytes are no snapshot of a detector"),
            Self::Version(version) => write!(
                f,
                "the snapshot has layout {version}, this version reads {VERSION}: baselines begin anew"
            ),
            Self::Damaged => f.write_str("the snapshot is damaged: baselines begin anew"),
        }
    }
}

impl std::error::Error for SnapshotError {}

impl Detector {
    /// All that is remembered; configuration is not part of it.
    pub fn snapshot(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend(VERSION.to_le_bytes());
        bytes.extend([0; 8]);
        // Can't fail: a vector takes all there is, and the state holds neither borrowed nor unsized sequences.
        let mut bytes = postcard::to_extend(&self.state, bytes)
            .unwrap_or_else(|error| unreachable!("serialising the detector: {error}"));
        let sum = checksum(&bytes[HEADER..]);
        bytes[HEADER - 8..HEADER].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    /// Takes a snapshot up; all goes on as if nothing had happened.
    ///
    /// # Errors
    /// When the bytes are no snapshot, of another version, or damaged.
    pub fn restore(
        config: &Detection,
        sizes: &TableSizes,
        bytes: &[u8],
    ) -> Result<Self, SnapshotError> {
        if bytes.len() < HEADER || bytes[..MAGIC.len()] != MAGIC {
            return Err(SnapshotError::NoSnapshot);
        }
        let version = u16::from_le_bytes([bytes[MAGIC.len()], bytes[MAGIC.len() + 1]]);
        if version != VERSION {
            return Err(SnapshotError::Version(version));
        }
        let body = &bytes[HEADER..];
        if bytes[HEADER - 8..HEADER] != checksum(body).to_le_bytes() {
            return Err(SnapshotError::Damaged);
        }
        let mut state: State = postcard::from_bytes(body).map_err(|_| SnapshotError::Damaged)?;
        for usual in &mut state.usual {
            usual.pool.sort();
        }
        state.off_hours.sort();
        state.new_hosts.sort();
        Ok(Self {
            state,
            ..Self::new(config, sizes)
        })
    }
}

/// Finds what a torn or flipped page does; not made to stand against anybody.
fn checksum(bytes: &[u8]) -> u64 {
    bytes.chunks(8).fold(bytes.len() as u64, |sum, chunk| {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        mix(sum.rotate_left(5) ^ u64::from_le_bytes(word))
    })
}
