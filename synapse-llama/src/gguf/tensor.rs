use std::collections::HashSet;
use std::io::BufRead;

use super::GgufProblem;
use super::cursor::Cursor;

/// The most tensors that are read; the largest models have some thousands.
const MAX_TENSORS: u64 = 1 << 20;
/// The longest tensor name that llama.cpp takes, in bytes.
const MAX_NAME: u64 = 63;
/// The most dimensions of a tensor.
const MAX_DIMENSIONS: u32 = 4;

/// How a tensor's numbers are stored: ggml's number for it, and the size of its blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TensorType {
    id: u32,
    block: u64,
    bytes: u64,
}

impl TensorType {
    /// The type that ggml numbers `id`, or `None` where the pinned llama.cpp has none or no longer supports it.
    pub fn from_id(id: u32) -> Option<Self> {
        let (block, bytes) = match id {
            0 | 26 => (1, 4),      // F32, I32
            1 | 25 | 30 => (1, 2), // F16, I16, BF16
            2 | 20 => (32, 18),    // Q4_0, IQ4_NL
            3 => (32, 20),         // Q4_1
            6 => (32, 22),         // Q5_0
            7 => (32, 24),         // Q5_1
            8 => (32, 34),         // Q8_0
            9 => (32, 36),         // Q8_1
            10 => (256, 84),       // Q2_K
            11 | 21 => (256, 110), // Q3_K, IQ3_S
            12 => (256, 144),      // Q4_K
            13 => (256, 176),      // Q5_K
            14 => (256, 210),      // Q6_K
            15 => (256, 292),      // Q8_K
            16 | 35 => (256, 66),  // IQ2_XXS, TQ2_0
            17 => (256, 74),       // IQ2_XS
            18 => (256, 98),       // IQ3_XXS
            19 => (256, 50),       // IQ1_S
            22 => (256, 82),       // IQ2_S
            23 => (256, 136),      // IQ4_XS
            24 => (1, 1),          // I8
            27 | 28 => (1, 8),     // I64, F64
            29 => (256, 56),       // IQ1_M
            34 => (256, 54),       // TQ1_0
            39 => (32, 17),        // MXFP4
            40 => (64, 36),        // NVFP4
            41 => (128, 18),       // Q1_0
            42 => (64, 18),        // Q2_0
            _ => return None,
        };
        Some(Self { id, block, bytes })
    }

    /// ggml's number for the type.
    pub fn id(self) -> u32 {
        self.id
    }

    /// How many numbers one block holds.
    pub fn block_length(self) -> u64 {
        self.block
    }

    /// How many bytes one block takes.
    pub fn block_bytes(self) -> u64 {
        self.bytes
    }
}

/// Where one tensor lies in the file, and its shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorInfo {
    name: String,
    shape: Vec<u64>,
    kind: TensorType,
    offset: u64,
    bytes: u64,
}

impl TensorInfo {
    /// The tensor's name, such as `blk.0.attn_q.weight`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its dimensions, the fastest-moving first.
    pub fn shape(&self) -> &[u64] {
        &self.shape
    }

    /// How its numbers are stored.
    pub fn kind(&self) -> TensorType {
        self.kind
    }

    /// Where it starts, in bytes from the start of the file's data section.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Its size in bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

/// The number of tensors, from the header.
pub(super) fn read_count<R: BufRead>(cursor: &mut Cursor<R>) -> Result<u64, GgufProblem> {
    cursor.count("tensors", MAX_TENSORS)
}

/// Reads the table of tensors.
pub(super) fn read<R: BufRead>(cursor: &mut Cursor<R>, count: u64) -> Result<Vec<TensorInfo>, GgufProblem> {
    let mut tensors = Vec::new();
    let mut names = HashSet::new();
    for index in 0..count {
        let tensor = read_one(cursor, index)?;
        if !names.insert(tensor.name.clone()) {
            return Err(GgufProblem::Malformed(format!(
                "tensor {} stands twice",
                tensor.name
            )));
        }
        tensors.push(tensor);
    }
    Ok(tensors)
}

fn read_one<R: BufRead>(cursor: &mut Cursor<R>, index: u64) -> Result<TensorInfo, GgufProblem> {
    let reading = format!("the description of tensor {index}");
    let name = cursor.string(&reading, MAX_NAME)?;
    let dimensions = cursor.u32(&reading)?;
    if dimensions == 0 || dimensions > MAX_DIMENSIONS {
        return Err(GgufProblem::Malformed(format!(
            "tensor {name} has {dimensions} dimensions"
        )));
    }
    let shape = (0..dimensions)
        .map(|_| cursor.u64(&reading))
        .collect::<Result<Vec<_>, _>>()?;
    let id = cursor.u32(&reading)?;
    let Some(kind) = TensorType::from_id(id) else {
        return Err(GgufProblem::Unsupported(format!(
            "tensor {name} has the type {id}, which this llama.cpp lacks"
        )));
    };
    let bytes = size(&shape, kind)
        .ok_or_else(|| GgufProblem::Malformed(format!("tensor {name} has the impossible shape {shape:?}")))?;
    let offset = cursor.u64(&reading)?;
    Ok(TensorInfo {
        name,
        shape,
        kind,
        offset,
        bytes,
    })
}

/// A tensor's size in bytes; `None` where a dimension is zero, rows aren't whole blocks, or the numbers overflow.
fn size(shape: &[u64], kind: TensorType) -> Option<u64> {
    let row = *shape.first()?;
    if row % kind.block != 0 {
        return None;
    }
    let elements = shape
        .iter()
        .try_fold(1_u64, |product, &n| product.checked_mul(n).filter(|&p| p > 0))?;
    i64::try_from(elements).ok()?;
    (elements / kind.block)
        .checked_mul(kind.bytes)
        .filter(|&bytes| i64::try_from(bytes).is_ok())
}
