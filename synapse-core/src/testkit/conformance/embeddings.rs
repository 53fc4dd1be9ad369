//! Texts as vectors.

use super::{
    questions::Questions,
    replies::{answered, shape},
    report::{Failure, Record, Verdict},
    subject::{Reply, Subject},
};
use crate::{Delta, InferenceModule};

const TEXTS: [&str; 3] = ["a red apple", "the speed of light in a vacuum", "a red apple"];

pub(super) async fn check<M: InferenceModule>(
    subject: &Subject<M>,
    questions: &Questions,
    record: &mut Record,
) {
    if !questions.embeds() {
        return;
    }
    let answer = subject.ask(questions.embeddings(&TEXTS)).await;
    let (verdict, reply) = answered(answer);
    let vectors = reply.as_ref().map(vectors);
    record.put("answers_embeddings", verdict);
    let Some(vectors) = vectors else { return };
    record.put("embeds_each_text_once", one_each(&vectors));
    record.put("embeds_equal_texts_equally", equal(&vectors));
    let mut shapes = Record::default();
    shape(&reply.into_iter().collect::<Vec<_>>(), &mut shapes);
    record.absorb("embeddings_", shapes);
}

/// The vectors of a reply, by index.
fn vectors(reply: &Reply) -> Vec<(u32, Vec<f32>)> {
    let deltas = reply
        .chunks
        .iter()
        .filter_map(|chunk| chunk.deltas().ok())
        .flatten();
    let mut vectors: Vec<_> = deltas
        .filter_map(|delta: &Delta| Some((delta.index, delta.embedding.clone()?)))
        .collect();
    vectors.sort_by_key(|(index, _)| *index);
    vectors
}

fn one_each(vectors: &[(u32, Vec<f32>)]) -> Verdict {
    let expected = "one vector for each text, numbered from 0, all finite and of one length";
    let advice = "send Delta::embedding(index, vector) once for each text";
    let indices: Vec<u32> = vectors.iter().map(|(index, _)| *index).collect();
    if indices != [0, 1, 2] {
        return Err(Failure::new(
            expected,
            format!("vectors for the texts {indices:?} of three"),
            advice,
        ));
    }
    let lengths: Vec<usize> = vectors.iter().map(|(_, vector)| vector.len()).collect();
    if lengths[0] == 0 || lengths.iter().any(|length| *length != lengths[0]) {
        return Err(Failure::new(
            expected,
            format!("vectors of the lengths {lengths:?}"),
            advice,
        ));
    }
    if !vectors
        .iter()
        .flat_map(|(_, vector)| vector)
        .all(|value| value.is_finite())
    {
        return Err(Failure::new(
            expected,
            "a value that is not a number, or infinite",
            advice,
        ));
    }
    Ok(())
}

fn equal(vectors: &[(u32, Vec<f32>)]) -> Verdict {
    let (Some(first), Some(second), Some(third)) = (vectors.first(), vectors.get(1), vectors.get(2)) else {
        return Ok(());
    };
    // Batching may change the order of additions, so equal is not the same bits.
    let far = |a: &[f32], b: &[f32]| a.iter().zip(b).any(|(a, b)| (a - b).abs() > 1e-3);
    if far(&first.1, &third.1) {
        return Err(Failure::new(
            "equal vectors for equal texts",
            "vectors more than 0.001 apart",
            "leave nothing of one text behind for the next",
        ));
    }
    if !far(&first.1, &second.1) {
        return Err(Failure::new(
            "different vectors for different texts",
            "the same vector for both",
            "embed the text that is asked for",
        ));
    }
    Ok(())
}
