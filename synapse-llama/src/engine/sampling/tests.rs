//! Which tokens can be chosen, and how often they are.

use super::*;

fn check(sampling: &Sampling, logits: &[f32], possible: &[u32]) {
    let mut seen: Vec<u32> = (0..400)
        .map(|seed| {
            Sampler::new(Sampling {
                seed: Some(seed),
                ..sampling.clone()
            })
            .choose(logits)
            .expect("a token")
        })
        .collect();
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen, possible, "{sampling:?}");
}

#[test]
fn each_cut_leaves_the_tokens_it_should() {
    let logits = [2.0, 1.9, 0.0, 1.8, f32::NAN, f32::NEG_INFINITY];
    let plain = Sampling::default;
    check(&plain(), &logits, &[0, 1, 2, 3]);
    check(&Sampling::greedy(), &logits, &[0]);
    check(&Sampling { top_k: 2, ..plain() }, &logits, &[0, 1]);
    check(
        &Sampling {
            min_p: 0.5,
            ..plain()
        },
        &logits,
        &[0, 1, 3],
    );
    check(
        &Sampling {
            top_p: 0.5,
            ..plain()
        },
        &logits,
        &[0, 1],
    );
    check(
        &Sampling {
            top_p: 0.0001,
            ..plain()
        },
        &logits,
        &[0],
    );
    check(
        &Sampling {
            logit_bias: vec![(2, 100.0)],
            ..plain()
        },
        &logits,
        &[2],
    );
    check(
        &Sampling {
            temperature: 0.001,
            ..plain()
        },
        &logits,
        &[0],
    );
}

#[test]
fn penalties_grow_with_each_repetition() {
    let mut sampler = Sampler::new(Sampling {
        frequency_penalty: 1.0,
        ..Sampling::greedy()
    });
    let chosen: Vec<_> = (0..4).filter_map(|_| sampler.choose(&[3.0, 2.5, 0.0])).collect();
    assert_eq!(chosen, [0, 1, 0, 1]);
}

#[test]
fn no_number_among_the_logits_is_no_token() {
    assert_eq!(
        Sampler::new(Sampling::default()).choose(&[f32::NAN, f32::NEG_INFINITY]),
        None
    );
    assert_eq!(Sampler::new(Sampling::greedy()).choose(&[]), None);
}

#[test]
fn a_nucleus_wider_than_the_first_sort_is_still_found() {
    let logits = vec![0.0; 5000];
    let mut sampler = Sampler::new(Sampling {
        top_p: 0.9,
        seed: Some(1),
        ..Sampling::default()
    });
    assert!(sampler.choose(&logits).is_some());
    assert_eq!(sampler.candidates.len(), 4500);
}
