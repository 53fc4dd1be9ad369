//! The chat model as Ollama keeps it: a manifest, and the blobs that it names.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde_json::json;
use sha2::{Digest as _, Sha256};

/// The GGUF file's own digest, as `scripts/fetch-model` checks it.
pub const MODEL_SHA256: &str = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53";

/// What SmolLM2 was taught, in the template language of Ollama.
const TEMPLATE: &str = "{{- range .Messages }}<|im_start|>{{ .Role }}\n{{ .Content }}<|im_end|>\n{{ end }}<|im_start|>assistant\n";

/// A model as Ollama's registry and store have it.
#[derive(Debug, Clone)]
pub struct Image {
    /// The manifest's bytes.
    pub manifest: Vec<u8>,
    /// What it names: the configuration first, then each layer.
    pub blobs: Vec<Blob>,
}

/// Bytes by their digest.
#[derive(Debug, Clone)]
pub struct Blob {
    /// `sha256:…`.
    pub digest: String,
    /// How many bytes.
    pub size: u64,
    /// Where they are.
    pub content: Content,
}

/// Where a blob's bytes are.
#[derive(Debug, Clone)]
pub enum Content {
    /// In a file.
    File(PathBuf),
    /// Here.
    Bytes(Vec<u8>),
}

impl Image {
    /// The chat model, which computes with one thread: two engines that spin on two cores starve each other.
    #[must_use]
    pub fn smollm2() -> Self {
        let gguf = crate::model();
        let size = fs::metadata(&gguf).expect("the model is a file").len();
        Self::of(Blob {
            digest: format!("sha256:{MODEL_SHA256}"),
            size,
            content: Content::File(gguf),
        })
    }

    /// A model of as many bytes, which are no model's: for whoever fetches and does not load.
    #[must_use]
    pub fn other() -> Self {
        Self::of(Blob::of(vec![b'.'; 98_362_432]))
    }

    /// The chat model once more, as good and as large, in other bytes: to Ollama another model. `mark` tells several apart.
    ///
    /// # Panics
    /// Where the chat model names itself nowhere.
    #[must_use]
    pub fn twin(mark: u8) -> Self {
        const NAME: &[u8] = b"general.name";
        let mut gguf = fs::read(crate::model()).expect("the model can be read");
        let named = gguf.windows(NAME.len()).position(|bytes| bytes == NAME);
        // Its type takes 4 bytes, its length 8.
        gguf[named.expect("the model has a name") + NAME.len() + 12] = mark;
        Self::of(Blob::of(gguf))
    }

    fn of(weights: Blob) -> Self {
        let template = Blob::of(TEMPLATE.as_bytes().to_vec());
        let params = Blob::of(
            json!({"num_thread": 1, "stop": ["<|im_start|>", "<|im_end|>"]})
                .to_string()
                .into(),
        );
        let layers = [
            ("application/vnd.ollama.image.model", weights),
            ("application/vnd.ollama.image.template", template),
            ("application/vnd.ollama.image.params", params),
        ];
        let digests: Vec<&str> = layers.iter().map(|(_, blob)| blob.digest.as_str()).collect();
        let config = Blob::of(
            json!({
                "model_format": "gguf", "model_family": "llama", "model_families": ["llama"], "model_type": "134.52M",
                "file_type": "Q4_1", "architecture": "amd64", "os": "linux",
                "rootfs": {"type": "layers", "diff_ids": digests},
            })
            .to_string()
            .into(),
        );
        let described: Vec<_> = layers
            .iter()
            .map(|(kind, blob)| json!({"mediaType": kind, "digest": blob.digest, "size": blob.size}))
            .collect();
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
            "config": {
                "mediaType": "application/vnd.docker.container.image.v1+json",
                "digest": config.digest, "size": config.size,
            },
            "layers": described,
        });
        let mut blobs = vec![config];
        blobs.extend(layers.into_iter().map(|(_, blob)| blob));
        Self {
            manifest: manifest.to_string().into(),
            blobs,
        }
    }

    /// Puts it into the store at `models`, under `name`.
    ///
    /// # Panics
    /// Where that cannot be written.
    pub fn store(&self, models: &Path, name: &str) {
        let blobs = models.join("blobs");
        fs::create_dir_all(&blobs).expect("the store can be written");
        for blob in &self.blobs {
            blob.store(&blobs.join(blob.digest.replace(':', "-")))
                .expect("the store can be written");
        }
        let manifests = models.join("manifests/registry.ollama.ai/library").join(name);
        fs::create_dir_all(&manifests).expect("the store can be written");
        fs::write(manifests.join("latest"), &self.manifest).expect("the store can be written");
    }
}

impl Blob {
    fn of(bytes: Vec<u8>) -> Self {
        let hex = Sha256::digest(&bytes)
            .iter()
            .fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
        Self {
            digest: format!("sha256:{hex}"),
            size: bytes.len() as u64,
            content: Content::Bytes(bytes),
        }
    }

    /// A second name for the file, where the file system can; 98 MB are else copied.
    fn store(&self, path: &Path) -> io::Result<()> {
        match &self.content {
            Content::File(file) => fs::hard_link(file, path).or_else(|_| fs::copy(file, path).map(drop)),
            Content::Bytes(bytes) => fs::write(path, bytes),
        }
    }
}
