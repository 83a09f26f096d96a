//! Processors whose kernels are booted: this machine's, and the other one that the sensor is built for.

use crate::setup::cross;

/// A processor architecture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Processor {
    /// This machine's: the guest runs on its files.
    #[default]
    #[value(name = "x86_64")]
    X86_64,
    /// By emulation only, on Debian's files for it.
    #[value(name = "aarch64")]
    Aarch64,
}

impl Processor {
    /// As Debian calls it.
    pub fn debian(self) -> &'static str {
        match self {
            Self::X86_64 => "amd64",
            Self::Aarch64 => "arm64",
        }
    }

    /// QEMU for it.
    pub fn qemu(self) -> &'static str {
        match self {
            Self::X86_64 => "qemu-system-x86_64",
            Self::Aarch64 => "qemu-system-aarch64",
        }
    }

    /// Where the guest writes what the tests print. The other machine has one serial port, which the kernel writes to, too.
    pub fn output(self) -> &'static str {
        match self {
            Self::X86_64 => "/dev/ttyS1",
            Self::Aarch64 => "/dev/ttyAMA0",
        }
    }

    /// Target of the compiler, where it is not this machine's.
    pub fn target(self) -> Option<&'static str> {
        match self {
            Self::X86_64 => None,
            Self::Aarch64 => Some(cross::TARGET),
        }
    }

    /// Behind a kernel's version, in names of files.
    pub fn suffix(self) -> &'static str {
        match self {
            Self::X86_64 => "",
            Self::Aarch64 => "-aarch64",
        }
    }
}
