//! A bounds-checked reading of a GGUF file, done before llama.cpp sees it.
//!
//! llama.cpp stops the whole process (`GGML_ASSERT`) on some malformed files, and a file that was cut short would be
//! mapped into memory and fault when its missing half is touched. So the header, the metadata and the table of tensors
//! are read here first, with caps on every count and length, and what llama.cpp would assert is checked and refused as
//! a [`GgufError`] that names the file, what is wrong with it and what to do.
//!
//! The format: <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>, versions 2 and 3, little endian.

mod cursor;
mod error;
mod file;
mod metadata;
mod model_checks;
mod tensor;

pub use error::{GgufError, GgufProblem};
pub use file::Gguf;
pub use metadata::{MetadataValue, ValueKind};
pub use tensor::{TensorInfo, TensorType};
