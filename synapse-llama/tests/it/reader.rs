//! The GGUF reader on bytes that nobody wrote with care.

use std::io::Cursor;
use std::sync::OnceLock;

use proptest::prelude::*;
use synapse_llama::gguf::{Gguf, TensorType};

use crate::support::model_path;

fn read(bytes: &[u8]) -> Result<Gguf, String> {
    Gguf::read(Cursor::new(bytes), bytes.len() as u64).map_err(|problem| problem.to_string())
}

/// A small, whole model as bytes: one tensor of 32 floats.
pub(crate) fn small() -> Vec<u8> {
    let mut file = Writer(b"GGUF".to_vec());
    file.number(3_u32).number(1_u64).number(6_u64);
    file.text("general.architecture").number(8_u32).text("llama");
    for (key, value) in [
        ("llama.block_count", 1_u32),
        ("llama.embedding_length", 32),
        ("llama.context_length", 64),
    ] {
        file.text(key).number(4_u32).number(value);
    }
    file.text("tokenizer.ggml.model").number(8_u32).text("gpt2");
    file.text("tokenizer.ggml.tokens")
        .number(9_u32)
        .number(8_u32)
        .number(2_u64)
        .text("a")
        .text("b");
    file.text("token_embd.weight")
        .number(1_u32)
        .number(32_u64)
        .number(0_u32)
        .number(0_u64);
    let data = file.0.len().next_multiple_of(32) + 128;
    file.0.resize(data, 0);
    file.0
}

pub(crate) struct Writer(pub(crate) Vec<u8>);

impl Writer {
    pub(crate) fn number(&mut self, number: impl Number) -> &mut Self {
        self.0.extend(number.bytes());
        self
    }

    pub(crate) fn text(&mut self, text: &str) -> &mut Self {
        self.number(text.len() as u64).0.extend(text.bytes());
        self
    }
}

pub(crate) trait Number {
    fn bytes(self) -> Vec<u8>;
}

impl Number for u32 {
    fn bytes(self) -> Vec<u8> {
        self.to_le_bytes().to_vec()
    }
}

impl Number for u64 {
    fn bytes(self) -> Vec<u8> {
        self.to_le_bytes().to_vec()
    }
}

#[test]
fn the_smallest_model_is_read() {
    let gguf = read(&small()).expect("it is whole");
    assert_eq!(
        (gguf.version(), gguf.architecture(), gguf.tensors().len()),
        (3, "llama", 1)
    );
    assert_eq!(gguf.tensors()[0].bytes(), 128);
    assert_eq!(gguf.architecture_integer("block_count"), Some(1));
}

#[test]
fn the_smallest_model_cut_anywhere_is_refused() {
    let whole = small();
    for length in 0..whole.len() {
        assert!(
            read(&whole[..length]).is_err(),
            "{length} of {} bytes",
            whole.len()
        );
    }
}

/// Replaces the first occurrence of `from`, which is as long as `to`.
fn swap(from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut bytes = small();
    let at = bytes
        .windows(from.len())
        .position(|window| window == from)
        .expect("it is in there");
    bytes[at..at + to.len()].copy_from_slice(to);
    bytes
}

#[test]
fn what_llama_cpp_would_abort_on_is_refused() {
    let check = |bytes: Vec<u8>, text: &str| {
        let problem = read(&bytes).expect_err("it is refused");
        assert!(problem.contains(text), "{problem} lacks {text:?}");
    };
    check(
        swap(b"\x01\0\0\0\0\0\0\0b", b"\x01\0\0\0\0\0\0\0a"),
        "token 1 of the vocabulary stands in it twice",
    );
    check(
        swap(b"block_count\x04\0\0\0\x01\0", b"block_count\x04\0\0\0\0\0"),
        "llama.block_count is Integer(0)",
    );
    check(
        swap(b"block_count\x04\0\0\0\x01\0", b"block_count\x04\0\0\0\xFF\xFF"),
        "not a number from 1 to 512",
    );
    check(
        swap(b"block_count", b"block_kount"),
        "llama.block_count is missing",
    );
    check(
        swap(b"context_length", b"kontext_length"),
        "llama.context_length is missing",
    );
    check(
        swap(b"tokenizer.ggml.model", b"tokenizer.ggml.modem"),
        "no tokenizer",
    );
    check(
        swap(b"tokenizer.ggml.tokens", b"tokenizer.ggml.tokers"),
        "no list of tokens",
    );
    check(
        swap(b"llama.block_count", b"llama.block_cou\xFF\xFF"),
        "is not UTF-8",
    );
    check(
        swap(b"\x05\0\0\0\0\0\0\0llama\x11", b"\x05\0\0\0\0\0\0\0t5   \x11"),
        "general.architecture",
    );
    check(swap(b"weight\x01\0\0\0", b"weight\x09\0\0\0"), "9 dimensions");
    check(
        swap(
            b"weight\x01\0\0\0 \0\0\0\0\0\0\0\0\0\0\0",
            b"weight\x01\0\0\0 \0\0\0\0\0\0\0\x04\0\0\0",
        ),
        "type 4",
    );
    check(
        swap(
            b"weight\x01\0\0\0 \0\0\0\0\0\0\0",
            b"weight\x01\0\0\0\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF",
        ),
        "impossible shape",
    );
}

#[test]
fn the_sizes_of_tensor_types_are_ggmls_own() {
    for id in 0..64 {
        let known = TensorType::from_id(id).map(|kind| (kind.block_length(), kind.block_bytes()));
        assert_eq!(known, ggml_size(id), "type {id}");
    }
}

#[expect(unsafe_code, reason = "ggml's own table is only reachable through C")]
fn ggml_size(id: u32) -> Option<(u64, u64)> {
    if id >= llama_cpp_sys_2::GGML_TYPE_COUNT {
        return None;
    }
    // SAFETY: both functions only look `id` up in a constant table of `GGML_TYPE_COUNT` rows.
    let (block, bytes) = unsafe {
        (
            llama_cpp_sys_2::ggml_blck_size(id),
            llama_cpp_sys_2::ggml_type_size(id),
        )
    };
    (block > 0).then(|| (block.unsigned_abs(), bytes as u64))
}

/// The head of the real model: its metadata and some of its tensors.
fn head() -> &'static [u8] {
    static HEAD: OnceLock<Vec<u8>> = OnceLock::new();
    HEAD.get_or_init(|| {
        use std::io::Read;
        let mut head = Vec::new();
        let file = std::fs::File::open(model_path()).expect("it opens");
        file.take(64 * 1024).read_to_end(&mut head).expect("it is read");
        head
    })
}

proptest! {
    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
        let _ = read(&bytes);
        let _ = read(&[b"GGUF\x03\0\0\0".as_slice(), &bytes].concat());
    }

    #[test]
    fn a_small_model_with_some_bytes_changed_never_panics(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let mut bytes = small();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let _ = read(&bytes);
    }

    #[test]
    fn the_real_head_with_some_bytes_changed_never_panics(
        changes in proptest::collection::vec((0_usize..3000, any::<u8>()), 1..8),
        announced in 0_u64..1 << 40,
    ) {
        let mut bytes = head().to_vec();
        for (at, byte) in changes {
            bytes[at] = byte;
        }
        prop_assert!(Gguf::read(Cursor::new(&bytes), announced).is_err(), "it is cut short, whatever it announces");
    }
}
