//! The same pass for userspace, which makes plans.

use super::{Mode, Pick, Picker, literals::Literals};
use crate::{bytes::BASE, fingerprint::CAPTURE, scratch::Scratch};

/// The literals of a text as the kernel counts them: for each its group, its bytes, and whether it is a parameter's name.
pub fn groups(text: &[u8]) -> Vec<Literal> {
    let mut scratch = Scratch::boxed();
    let length = text.len().min(CAPTURE as usize);
    for (i, byte) in text[..length].iter().enumerate() {
        scratch.window.set(BASE + i as u32, *byte);
    }
    let end = BASE + length as u32;
    scratch.keyer.begin(BASE, end, [0; 2]);
    scratch.keyer.from = u32::MAX;
    scratch.keyer.bound = u32::MAX;
    scratch.keyer.to = u32::MAX;
    struct Nobody(Box<Scratch>);
    impl Picker for Nobody {
        fn scratch(&mut self) -> &mut Scratch {
            &mut self.0
        }
        fn picked(&mut self, _: Pick) {}
    }
    let mut found: Vec<Literal> = Vec::new();
    let mut nobody = Nobody(scratch);
    let mut comment = false;
    loop {
        let before = nobody.0.keyer;
        if !(Literals {
            picker: &mut nobody,
        })
        .byte()
        {
            break;
        }
        let after = &nobody.0.keyer;
        comment |= matches!(after.mode, Mode::BlockComment | Mode::LineComment);
        if before.mode == Mode::Code
            && matches!(after.mode, Mode::Number | Mode::Quote | Mode::EscapeQuote)
        {
            let start = before.position - BASE;
            found.push(Literal {
                group: after.index - 1,
                start,
                parameter: text[start as usize] == b'$',
                behind_comment: comment,
            });
        }
    }
    found
}

/// See [`groups`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Literal {
    /// Place among the literals, lists counted once.
    pub group: u32,
    /// Byte of the text that it begins at.
    pub start: u32,
    /// It is a `$1`.
    pub parameter: bool,
    /// A comment stands before it, whose length differs from text to text.
    pub behind_comment: bool,
}
