use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Why a model file was refused: the file, and what is wrong with it.
#[derive(Debug)]
pub struct GgufError {
    path: PathBuf,
    problem: GgufProblem,
}

impl GgufError {
    pub(crate) fn new(path: &Path, problem: GgufProblem) -> Self {
        Self {
            path: path.to_owned(),
            problem,
        }
    }

    /// The file that was refused.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What is wrong with it.
    pub fn problem(&self) -> &GgufProblem {
        &self.problem
    }
}

impl fmt::Display for GgufError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, problem } = self;
        write!(
            f,
            "can't use the model file {}: {problem}; {}",
            path.display(),
            problem.remedy()
        )
    }
}

impl std::error::Error for GgufError {
    /// The problem is in the text already; what is left is what caused it.
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.problem.source()
    }
}

/// What is wrong with a file that should be a GGUF model.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GgufProblem {
    /// There is no such file.
    #[error("there is no such file")]
    Missing,
    /// The path names a directory, a device or another thing that is not a file.
    #[error("it is not a regular file")]
    NotAFile,
    /// The file has no bytes.
    #[error("it is empty")]
    Empty,
    /// The first four bytes are not `GGUF`.
    #[error("it is not a GGUF file (it starts with {})", magic.escape_ascii())]
    NotGguf {
        /// The bytes that stand where `GGUF` should, up to four.
        magic: Vec<u8>,
    },
    /// The format's version is one that llama.cpp no longer or not yet reads.
    #[error("its GGUF version is {0}, and versions 2 and 3 are supported")]
    Version(u32),
    /// The numbers in the file are big endian.
    #[error("it is a big-endian GGUF, and little-endian ones are supported")]
    BigEndian,
    /// The file ends before what its header announces.
    #[error("it is cut short: {reading} needs bytes up to {needed}, and the file has {length}")]
    Truncated {
        /// What was being read.
        reading: String,
        /// The offset in bytes at which that ends.
        needed: u64,
        /// The file's length in bytes.
        length: u64,
    },
    /// A count or a length is beyond what any real model has.
    #[error("it announces {count} {what}, more than the {limit} that are read")]
    TooLarge {
        /// What is counted.
        what: &'static str,
        /// The number in the file.
        count: u64,
        /// The most that is read.
        limit: u64,
    },
    /// The file breaks the format's rules, or holds what llama.cpp would abort on.
    #[error("it is malformed: {0}")]
    Malformed(String),
    /// A whole and well-formed file that this crate can't serve.
    #[error("{0}")]
    Unsupported(String),
    /// The file could not be read.
    #[error("reading it failed")]
    Io(#[source] io::Error),
}

impl GgufProblem {
    /// What the reader of the message can do.
    fn remedy(&self) -> &'static str {
        match self {
            Self::Missing => "check the path, or fetch the model first",
            Self::NotAFile => "give the path of a .gguf file",
            Self::Empty | Self::Truncated { .. } => {
                "the download probably stopped early: fetch it again and compare its sha256"
            }
            Self::NotGguf { .. } => {
                "give a model in GGUF format (convert others with llama.cpp's convert_hf_to_gguf.py)"
            }
            Self::Version(_) | Self::BigEndian => "convert the model again with a current llama.cpp",
            Self::TooLarge { .. } | Self::Malformed(_) => {
                "the file is damaged: fetch it again and compare its sha256"
            }
            Self::Unsupported(_) => "choose another model file",
            Self::Io(_) => "check that the file is readable by this user",
        }
    }
}
