//! What llama.cpp asserts of a model's metadata, checked beforehand: an assert there ends the process.

use super::{Gguf, GgufProblem, MetadataValue, ValueKind};

/// llama.cpp's `LLAMA_MAX_LAYERS`.
const MAX_LAYERS: i128 = 512;
/// llama.cpp's `LLAMA_MAX_EXPERTS`.
const MAX_EXPERTS: i128 = 1024;
/// Architectures that don't generate text from left to right.
const NOT_GENERATIVE: &[&str] = &[
    "bert",
    "clip",
    "eurobert",
    "gemma-embedding",
    "jina-bert-v2",
    "jina-bert-v3",
    "modern-bert",
    "neo-bert",
    "nomic-bert",
    "nomic-bert-moe",
    "t5",
    "t5encoder",
    "wavtokenizer-dec",
];

pub(super) fn check(gguf: &Gguf) -> Result<(), GgufProblem> {
    check_architecture(gguf)?;
    check_split(gguf)?;
    check_shape(gguf)?;
    check_experts(gguf)?;
    check_vocabulary(gguf)?;
    if gguf.tensors().is_empty() {
        return Err(GgufProblem::Unsupported(
            "it holds no tensors (a vocabulary or an adapter, not a model)".to_owned(),
        ));
    }
    Ok(())
}

fn check_architecture(gguf: &Gguf) -> Result<(), GgufProblem> {
    let name = gguf.architecture();
    let plausible = !name.is_empty() && name.len() <= 64 && name.bytes().all(|b| b.is_ascii_graphic());
    if !plausible {
        return Err(GgufProblem::Malformed(
            "general.architecture is missing or no name".to_owned(),
        ));
    }
    if NOT_GENERATIVE.contains(&name) {
        return Err(GgufProblem::Unsupported(format!(
            "its architecture, {name}, doesn't generate text"
        )));
    }
    Ok(())
}

fn check_split(gguf: &Gguf) -> Result<(), GgufProblem> {
    match gguf.integer("split.count") {
        Some(parts) if parts > 1 => Err(GgufProblem::Unsupported(format!(
            "it is one of {parts} parts (join them with llama.cpp's `llama-gguf-split --merge`)"
        ))),
        _ => Ok(()),
    }
}

fn check_shape(gguf: &Gguf) -> Result<(), GgufProblem> {
    let limit = i128::from(i32::MAX);
    within(gguf, "block_count", 1, MAX_LAYERS, true)?;
    within(gguf, "embedding_length", 1, limit, true)?;
    within(gguf, "context_length", 1, limit, true)?;
    within(gguf, "vocab_size", 1, limit, false)?;
    within(gguf, "attention.head_count", 0, limit, false)?;
    within(gguf, "attention.head_count_kv", 0, limit, false)?;
    within(
        gguf,
        "nextn_predict_layers",
        0,
        gguf.architecture_integer("block_count").unwrap_or(0),
        false,
    )?;
    match gguf.text(&format!("{}.rope.scaling.type", gguf.architecture())) {
        None | Some("none" | "linear" | "yarn" | "longrope") => Ok(()),
        Some(other) => Err(GgufProblem::Unsupported(format!(
            "its rope scaling, {other:?}, is unknown to this llama.cpp"
        ))),
    }
}

/// llama.cpp's rules for mixtures of experts.
fn check_experts(gguf: &Gguf) -> Result<(), GgufProblem> {
    within(gguf, "expert_count", 0, MAX_EXPERTS, false)?;
    let count = gguf.architecture_integer("expert_count").unwrap_or(0);
    let least_used = i128::from(count > 0);
    within(gguf, "expert_used_count", least_used, count, false)?;
    if count > 0
        && gguf
            .value(&format!("{}.expert_used_count", gguf.architecture()))
            .is_none()
    {
        return Err(GgufProblem::Malformed(format!(
            "it has {count} experts and doesn't say how many are used"
        )));
    }
    let groups = gguf.architecture_integer("expert_group_count").unwrap_or(0);
    if groups == 0 {
        return Ok(());
    }
    within(gguf, "expert_group_count", 0, count - 1, false)?;
    if groups > 1 {
        if count % groups != 0 {
            return Err(GgufProblem::Malformed(format!(
                "{count} experts can't be split into {groups} groups"
            )));
        }
        within(gguf, "expert_group_used_count", 1, groups - 1, true)?;
    }
    Ok(())
}

fn check_vocabulary(gguf: &Gguf) -> Result<(), GgufProblem> {
    if gguf.text("tokenizer.ggml.model").is_none() {
        return Err(GgufProblem::Unsupported(
            "it has no tokenizer (tokenizer.ggml.model)".to_owned(),
        ));
    }
    let tokens = match gguf.value("tokenizer.ggml.tokens") {
        Some(MetadataValue::Array {
            kind: ValueKind::Text,
            length,
        }) if *length > 0 => *length,
        _ => {
            return Err(GgufProblem::Malformed(
                "tokenizer.ggml.tokens is no list of tokens".to_owned(),
            ));
        }
    };
    for (key, kinds) in [
        (
            "tokenizer.ggml.scores",
            &[ValueKind::Float, ValueKind::Integer][..],
        ),
        ("tokenizer.ggml.token_type", &[ValueKind::Integer][..]),
    ] {
        match gguf.value(key) {
            None => {}
            Some(MetadataValue::Array { kind, length }) if kinds.contains(kind) && *length >= tokens => {}
            Some(_) => {
                return Err(GgufProblem::Malformed(format!(
                    "{key} doesn't fit the {tokens} tokens"
                )));
            }
        }
    }
    Ok(())
}

/// The architecture's integer `name` must lie in `least..=most`, where it is there; `required` says whether it must be.
fn within(gguf: &Gguf, name: &str, least: i128, most: i128, required: bool) -> Result<(), GgufProblem> {
    let key = format!("{}.{name}", gguf.architecture());
    match gguf.value(&key) {
        None if !required => Ok(()),
        // One number per layer: llama.cpp checks its length itself.
        Some(MetadataValue::Array {
            kind: ValueKind::Integer,
            ..
        }) if !required => Ok(()),
        Some(MetadataValue::Integer(number)) if (least..=most).contains(number) => Ok(()),
        None => Err(GgufProblem::Malformed(format!("{key} is missing"))),
        Some(value) => Err(GgufProblem::Malformed(format!(
            "{key} is {value:?}, not a number from {least} to {most}"
        ))),
    }
}
