//! How much stack nested calls of the kernel programs take, as the verifier counts it: 512 bytes in all, each function's
//! rounded up to 32, and eight calls deep at the most. Kernels from 6.13 on give each function a stack of its own, so that
//! the machine on which the programs are built may not tell.

use std::collections::{HashMap, HashSet};

use anyhow::{Context as _, Result, bail};

/// `MAX_BPF_STACK`.
const STACK: u32 = 512;
/// `MAX_CALL_FRAMES`.
const FRAMES: u32 = 8;
/// The register that points to a function's stack.
const FRAME_POINTER: u8 = 10;

/// What the deepest nested calls take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Depth {
    /// Bytes of stack.
    pub bytes: u32,
    /// Functions that are in the middle of something at the same time.
    pub frames: u32,
}

impl Depth {
    /// Would a kernel refuse it?
    pub fn is_too_deep(self) -> bool {
        self.bytes > STACK || self.frames > FRAMES
    }
}

/// A function's place: section and offset.
type Place = (usize, u64);

#[derive(Debug)]
struct Function {
    name: String,
    own: u32,
    /// Registers that hold the frame pointer, one bit each.
    copies: u16,
    calls: Vec<Place>,
    /// Addresses that are a function's or data's.
    addresses: Vec<Place>,
}

/// The deepest nested calls of an object, and which these are, with the bytes of each. Bytes and frames may be those of different calls.
pub fn deepest(object: &[u8]) -> Result<(Depth, Vec<String>)> {
    let functions = functions(object)?;
    let mut known = HashMap::new();
    let mut deepest = Depth::default();
    for place in functions.keys() {
        let found = depth(&functions, *place, &mut known, 0)?;
        deepest.bytes = deepest.bytes.max(found.bytes);
        deepest.frames = deepest.frames.max(found.frames);
    }
    let bytes = |place: &Place| known.get(place).map_or(0, |depth| depth.bytes);
    let mut next = functions.keys().max_by_key(|place| bytes(place));
    let mut chain = Vec::new();
    while let Some(function) = next.and_then(|place| functions.get(place)) {
        chain.push(format!("{} {}", function.name, function.own));
        next = function.calls.iter().max_by_key(|place| bytes(place));
    }
    Ok((deepest, chain))
}

fn depth(
    functions: &HashMap<Place, Function>,
    place: Place,
    known: &mut HashMap<Place, Depth>,
    nesting: usize,
) -> Result<Depth> {
    if let Some(depth) = known.get(&place) {
        return Ok(*depth);
    }
    if nesting > functions.len() {
        bail!("a kernel program calls itself");
    }
    let function = functions
        .get(&place)
        .context("a kernel program calls what is no function")?;
    let mut below = Depth::default();
    for call in &function.calls {
        let found = depth(functions, *call, known, nesting + 1)?;
        below.bytes = below.bytes.max(found.bytes);
        below.frames = below.frames.max(found.frames);
    }
    let found = Depth {
        bytes: below.bytes + function.own.max(1).next_multiple_of(32),
        frames: below.frames + 1,
    };
    known.insert(place, found);
    Ok(found)
}

/// All functions of an object.
fn functions(object: &[u8]) -> Result<HashMap<Place, Function>> {
    let elf = Elf { bytes: object };
    let sections = elf.sections()?;
    let table = sections
        .iter()
        .find(|section| section.kind == SYMBOLS)
        .context("the kernel programs' object has no symbols")?;
    let symbols: Vec<Symbol> = (0..table.size / 24)
        .map(|index| elf.symbol(table.offset + index * 24))
        .collect::<Option<_>>()
        .context("the kernel programs' object is cut")?;
    let mut targets: HashMap<Place, usize> = HashMap::new();
    for section in sections
        .iter()
        .filter(|section| section.kind == RELOCATIONS)
    {
        for index in 0..section.size / 16 {
            let at = section.offset + index * 16;
            let (offset, info) = elf.u64(at).zip(elf.u64(at + 8)).context("cut")?;
            targets.insert((section.info, offset), usize::try_from(info >> 32)?);
        }
    }
    let mut functions: HashMap<Place, Function> = HashMap::new();
    for symbol in symbols.iter().filter(|symbol| symbol.kind == FUNCTION) {
        let section = sections.get(symbol.section).context("no such section")?;
        let names = sections.get(table.link).context("no names of symbols")?;
        let mut function = Function {
            name: elf.text(names.offset + u64::from(symbol.name)),
            own: 0,
            copies: 0,
            calls: Vec::new(),
            addresses: Vec::new(),
        };
        let mut at = symbol.value;
        while at < symbol.value + symbol.size {
            let instruction = elf
                .u64(section.offset + at)
                .context("a kernel program is cut")?
                .to_le_bytes();
            let target = targets
                .get(&(symbol.section, at))
                .and_then(|index| symbols.get(*index));
            function.read(instruction, (symbol.section, at), target);
            // Loads of 64 bits take the place of two instructions.
            at += if instruction[0] == LOAD_64 { 16 } else { 8 };
        }
        functions.insert((symbol.section, symbol.value), function);
    }
    let places: HashSet<Place> = functions.keys().copied().collect();
    for function in functions.values_mut() {
        let addresses = std::mem::take(&mut function.addresses);
        let is_function = |place: &Place| places.contains(place);
        function
            .calls
            .extend(addresses.into_iter().filter(is_function));
    }
    Ok(functions)
}

const CALL: u8 = 0x85;
const MOVE: u8 = 0xbf;
const LOAD_64: u8 = 0x18;
/// `BPF_PSEUDO_CALL`, as a source register.
const OF_FUNCTION: u8 = 1;

impl Function {
    fn read(&mut self, instruction: [u8; 8], at: Place, target: Option<&Symbol>) {
        let [code, registers, low, high, immediate @ ..] = instruction;
        let (to, from) = (registers & 15, registers >> 4);
        let offset = i32::from(i16::from_le_bytes([low, high]));
        let immediate = i32::from_le_bytes(immediate);
        let uses = |offset: i32| u32::try_from(-offset).unwrap_or(0);
        match code & 7 {
            // Loads.
            1 if from == FRAME_POINTER => self.own = self.own.max(uses(offset)),
            // Stores.
            2 | 3 if to == FRAME_POINTER => self.own = self.own.max(uses(offset)),
            // An address: `r1 = r10`, then `r1 += -N`.
            7 if code == 0x07 && self.copies & 1 << to != 0 && (-512..0).contains(&immediate) => {
                self.own = self.own.max(uses(immediate));
            }
            _ => {}
        }
        if code == MOVE && from == FRAME_POINTER {
            self.copies |= 1 << to;
        } else if matches!(code & 7, 0 | 1 | 4 | 7) {
            // Whatever else is put into a register takes the copy's place.
            self.copies &= !(1 << to);
        }
        let place = |symbol: &Symbol| (symbol.section, symbol.value);
        if code == CALL && from == OF_FUNCTION {
            let words = i64::from(immediate) + 1;
            let base = match target {
                // By a function's name, or by its distance from the section's begin.
                Some(symbol) if symbol.kind == FUNCTION => return self.calls.push(place(symbol)),
                Some(symbol) => (symbol.section, symbol.value),
                None => (at.0, at.1),
            };
            self.calls
                .push((base.0, base.1.wrapping_add_signed(words * 8)));
        } else if code == LOAD_64
            && let Some(symbol) = target
            && symbol.kind == FUNCTION
        {
            // The address of a function: a helper will call it.
            self.calls.push(place(symbol));
        } else if code == LOAD_64
            && let Some(symbol) = target
            && symbol.kind == SECTION
        {
            // The same by its distance from the section's begin, or that of data.
            let offset = u64::try_from(immediate).unwrap_or(0);
            self.addresses.push((symbol.section, symbol.value + offset));
        }
    }
}

const SYMBOLS: u32 = 2;
const RELOCATIONS: u32 = 9;
const FUNCTION: u8 = 2;
const SECTION: u8 = 3;

struct Section {
    kind: u32,
    link: usize,
    info: usize,
    offset: u64,
    size: u64,
}

struct Symbol {
    name: u32,
    kind: u8,
    section: usize,
    value: u64,
    size: u64,
}

/// A little-endian ELF object.
struct Elf<'a> {
    bytes: &'a [u8],
}

impl Elf<'_> {
    fn array<const N: usize>(&self, at: u64) -> Option<[u8; N]> {
        let at = usize::try_from(at).ok()?;
        self.bytes.get(at..at.checked_add(N)?)?.try_into().ok()
    }

    fn u64(&self, at: u64) -> Option<u64> {
        self.array(at).map(u64::from_le_bytes)
    }

    fn u32(&self, at: u64) -> Option<u32> {
        self.array(at).map(u32::from_le_bytes)
    }

    fn u16(&self, at: u64) -> Option<u16> {
        self.array(at).map(u16::from_le_bytes)
    }

    fn sections(&self) -> Result<Vec<Section>> {
        let table = self.u64(40).zip(self.u16(60));
        let (begin, number) = table.context("the kernel programs' object has no header")?;
        (0..u64::from(number))
            .map(|index| {
                let at = begin + index * 64;
                Some(Section {
                    kind: self.u32(at + 4)?,
                    offset: self.u64(at + 24)?,
                    size: self.u64(at + 32)?,
                    link: self.u32(at + 40)? as usize,
                    info: self.u32(at + 44)? as usize,
                })
            })
            .collect::<Option<_>>()
            .context("the kernel programs' object is cut")
    }

    /// Up to its NUL.
    fn text(&self, at: u64) -> String {
        let rest = usize::try_from(at).ok().and_then(|at| self.bytes.get(at..));
        let text = rest.unwrap_or_default().split(|byte| *byte == 0).next();
        String::from_utf8_lossy(text.unwrap_or_default()).into_owned()
    }

    fn symbol(&self, at: u64) -> Option<Symbol> {
        Some(Symbol {
            name: self.u32(at)?,
            kind: self.array::<1>(at + 4)?[0] & 15,
            section: usize::from(self.u16(at + 6)?),
            value: self.u64(at + 8)?,
            size: self.u64(at + 16)?,
        })
    }
}
