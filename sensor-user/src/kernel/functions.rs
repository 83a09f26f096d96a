//! Calls of the kernel's own functions (kfuncs), which the library that loads the programs does not know: they stand in the object with
//! numbers that no helper has (`sensor_ebpf::program`), and are written over before it is loaded.

use btf_rs::Btf;
use sensor_ebpf::program::{LOCAL_IRQ_RESTORE, LOCAL_IRQ_SAVE, PREEMPT_DISABLE, PREEMPT_ENABLE};

use super::ask;

/// What holding the processor takes (Linux 6.10, 6.14).
const FUNCTIONS: [(i32, &str); 4] = [
    (PREEMPT_DISABLE, "bpf_preempt_disable"),
    (PREEMPT_ENABLE, "bpf_preempt_enable"),
    (LOCAL_IRQ_SAVE, "bpf_local_irq_save"),
    (LOCAL_IRQ_RESTORE, "bpf_local_irq_restore"),
];

/// `BPF_JMP | BPF_CALL`.
const CALL: u8 = 0x85;
/// `BPF_PSEUDO_KFUNC_CALL` as source register.
const KERNEL_FUNCTION: u8 = 2 << 4;

/// An object whose calls lead to this kernel's functions. Words, for an object has to be aligned.
pub struct Linked(Vec<u64>);

impl Linked {
    /// The object in these bytes; nothing when this kernel lacks one of the functions.
    pub fn new(object: &[u8], btf: &Btf) -> Option<Self> {
        let mut ids = Vec::new();
        for (number, name) in FUNCTIONS {
            ids.push((number, ask::id_of_function(btf, name)?));
        }
        Some(Self(linked(object, &ids)))
    }

    /// The object.
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: integers without padding, of eight bytes each.
        unsafe { std::slice::from_raw_parts(self.0.as_ptr().cast(), self.0.len() * 8) }
    }
}

/// Instructions have eight bytes and are aligned in the object's file. Nothing else there looks like one of these calls.
fn linked(object: &[u8], ids: &[(i32, u32)]) -> Vec<u64> {
    object
        .chunks(8)
        .map(|chunk| {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            let [CALL, 0, 0, 0, number @ ..] = word else {
                return u64::from_ne_bytes(word);
            };
            let number = i32::from_le_bytes(number);
            if let Some((_, id)) = ids.iter().find(|(other, _)| *other == number) {
                word[1] = KERNEL_FUNCTION;
                word[4..].copy_from_slice(&id.to_le_bytes());
            }
            u64::from_ne_bytes(word)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instruction(code: u8, registers: u8, number: i32) -> Vec<u8> {
        [&[code, registers, 0, 0][..], &number.to_le_bytes()].concat()
    }

    #[test]
    fn only_these_calls_are_written_over() {
        let object = [
            instruction(CALL, 0, PREEMPT_DISABLE),
            instruction(CALL, 0, 14),
            instruction(CALL, 1 << 4, PREEMPT_DISABLE),
            instruction(0x05, 0, PREEMPT_DISABLE),
            vec![1, 2, 3],
        ]
        .concat();
        let found: Vec<u8> = linked(&object, &[(PREEMPT_DISABLE, 77)])
            .into_iter()
            .flat_map(u64::to_ne_bytes)
            .collect();
        assert_eq!(found[..8], instruction(CALL, 2 << 4, 77));
        assert_eq!(found[8..object.len()], object[8..]);
        assert_eq!(found.len(), object.len().next_multiple_of(8));
    }

    #[test]
    fn all_of_these_calls_stand_in_the_object() {
        let object = super::super::load::object(super::super::hooks::Family::TpBtf);
        for (number, name) in FUNCTIONS {
            let call = instruction(CALL, 0, number);
            assert!(object.chunks(8).any(|chunk| chunk == call), "{name}");
        }
    }

    #[test]
    fn only_functions_are_found() {
        let btf = super::super::offsets::vmlinux().expect("BTF of the running kernel");
        assert!(ask::id_of_function(&btf, "tcp_sendmsg").is_some());
        assert!(ask::id_of_function(&btf, "task_struct").is_none());
    }
}
