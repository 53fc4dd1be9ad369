//! The model's own tokenizer.

use proptest::prelude::*;
use synapse_core::{Precision, RenderedPrompt, Tokenizer};
use synapse_llama::PromptPiece;

use crate::support::tokenizer;

#[test]
fn known_texts_have_known_tokens() {
    let tokenizer = tokenizer();
    assert_eq!(tokenizer.name(), "gpt2/smollm");
    let count = tokenizer.count("Name three primary colours.").expect("it counts");
    assert_eq!((count.tokens(), count.precision()), (5, Precision::Exact));
    assert!(tokenizer.encode("").expect("it tokenises").is_empty());
    assert_eq!(tokenizer.decode(&[]).expect("it decodes"), "");
}

#[test]
fn control_tokens_are_tokens_in_prompts_and_text_in_texts() {
    let tokenizer = tokenizer();
    let mut prompt = RenderedPrompt::new("<|im_end|>", "tests");
    assert_eq!(tokenizer.encode_prompt(&prompt).expect("it tokenises"), [2]);
    prompt.push_plain("<|im_end|>");
    let half = tokenizer.encode_prompt(&prompt).expect("it tokenises");
    assert!(half.len() > 2 && half.iter().filter(|&&token| token == 2).count() == 1);
    let text = tokenizer.encode("<|im_end|>").expect("it tokenises");
    assert!(text.len() > 1 && !text.contains(&2));
    assert_eq!(tokenizer.decode(&text).expect("it decodes"), "<|im_end|>");
    assert_eq!(tokenizer.decode(&[2]).expect("it decodes"), "<|im_end|>");
    let mixed = [
        PromptPiece::Trusted("<|im_end|>".to_owned()),
        PromptPiece::Plain("<|im_end|>".to_owned()),
    ];
    assert_eq!(
        tokenizer.encode_pieces(&mixed).expect("it tokenises"),
        [vec![2], text].concat()
    );
}

#[test]
fn ids_beyond_the_vocabulary_are_refused() {
    for id in [49_152, u32::MAX] {
        let error = tokenizer().decode(&[1, id]).expect_err("it is refused");
        assert!(error.to_string().contains(&id.to_string()), "{error}");
    }
}

#[test]
fn long_runs_of_one_thing_are_tokenised_on_a_small_stack() {
    let tokenizer = tokenizer();
    for text in [
        " ".repeat(300_000),
        "a".repeat(300_000),
        "7".repeat(300_000),
        "\n".repeat(300_000),
        "é☃".repeat(50_000),
    ] {
        let tokens = tokenizer.encode(&text).expect("it tokenises");
        assert_eq!(tokenizer.decode(&tokens).expect("it decodes"), text);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn any_text_survives_the_round_trip(text in "\\PC{0,60}") {
        let tokenizer = tokenizer();
        let tokens = tokenizer.encode(&text).expect("it tokenises");
        prop_assert_eq!(tokenizer.decode(&tokens).expect("it decodes"), text);
    }
}
