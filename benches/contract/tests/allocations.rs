//! The contract's own cost in allocations: what repeats exactly is what CI gates.

#![allow(clippy::unwrap_used, reason = "a test fails where it finds none")]
#![allow(clippy::cast_precision_loss, reason = "a number of allocations")]

use allocation_counter::measure;
use contract::{behind_closures, behind_layers, module, question};
use futures_util::{StreamExt, future::poll_fn};
use synapse_core::InferenceModule;
use tokio::runtime::{Builder, Runtime};

/// Chunks of the long reply, over which the cost of one is taken.
const CHUNKS: usize = 100;
/// How much worse than the baseline is still the same.
const TOLERANCE: f64 = 1.05;

const BASELINE: &str = include_str!("../baseline.txt");

struct Measured {
    name: &'static str,
    allocations: f64,
    most: f64,
}

#[test]
fn the_contract_costs_what_it_did() {
    let runtime = Builder::new_current_thread().build().unwrap();
    let request = |module: &dyn InferenceModule| allocations(&runtime, module);
    let bare = request(&module(1));
    let layers = request(&behind_layers(1));
    let closures = request(&behind_closures(1));
    // The module's own chunks cost two each, a boxed delta and its text: the layers must add nothing.
    let bare_chunks = request(&module(1 + CHUNKS)) - bare;
    let layered_chunks = request(&behind_layers(1 + CHUNKS)) - layers;
    let measured = [
        Measured {
            name: "bare_request",
            allocations: bare,
            most: 12.0,
        },
        Measured {
            name: "five_layers_request",
            allocations: layers,
            most: 25.0,
        },
        Measured {
            name: "five_closures_request",
            allocations: closures,
            most: 25.0,
        },
        Measured {
            name: "bare_chunk",
            allocations: bare_chunks / CHUNKS as f64,
            most: 2.0,
        },
        Measured {
            name: "five_layers_chunk",
            allocations: layered_chunks / CHUNKS as f64,
            most: 2.0,
        },
    ];
    let mut worse = Vec::new();
    for Measured {
        name,
        allocations,
        most,
    } in measured
    {
        let before = baseline(name);
        println!("{name}: {allocations} allocations, {before} in the baseline, {most} at most");
        if allocations > most || allocations > before * TOLERANCE {
            worse.push(format!(
                "{name}: {allocations}, baseline {before}, at most {most}"
            ));
        }
    }
    assert!(
        worse.is_empty(),
        "{worse:#?}; where it is meant, write the new figures into baseline.txt"
    );
}

/// Allocations of one request and its whole reply, once everything lazy has been made.
fn allocations(runtime: &Runtime, module: &dyn InferenceModule) -> f64 {
    let run = |input| {
        runtime.block_on(async {
            let mut output = module.run_inference(input).await.unwrap();
            while poll_fn(|cx| output.body.poll_next_unpin(cx)).await.is_some() {}
        });
    };
    run(question());
    let input = question();
    measure(|| run(input)).count_total as f64
}

fn baseline(name: &str) -> f64 {
    BASELINE
        .lines()
        .filter_map(|line| line.split_once(" = "))
        .find(|(known, _)| *known == name)
        .and_then(|(_, figure)| figure.parse().ok())
        .expect("every figure has a line in baseline.txt")
}
