//! The contract's own cost in time: one request and its reply of 100 chunks, all in memory.

#![allow(missing_docs, reason = "criterion's macros write functions without any")]

use contract::{behind_closures, behind_layers, module, question};
use criterion::{Criterion, criterion_group, criterion_main};
use futures_util::StreamExt;
use synapse_core::InferenceModule;
use tokio::runtime::{Builder, Runtime};

const CHUNKS: usize = 100;

fn one(runtime: &Runtime, module: &dyn InferenceModule) {
    runtime.block_on(async {
        let mut output = module.run_inference(question()).await.expect("it always answers");
        while output.body.next().await.is_some() {}
    });
}

fn contract(criterion: &mut Criterion) {
    let runtime = Builder::new_current_thread()
        .build()
        .expect("a runtime without I/O");
    let mut group = criterion.benchmark_group("contract");
    let (bare, layers, closures) = (module(CHUNKS), behind_layers(CHUNKS), behind_closures(CHUNKS));
    group.bench_function("bare", |bencher| {
        bencher.iter(|| one(&runtime, &bare));
    });
    group.bench_function("five_layers", |bencher| {
        bencher.iter(|| one(&runtime, &layers));
    });
    group.bench_function("five_closures", |bencher| {
        bencher.iter(|| one(&runtime, &closures));
    });
    group.finish();
}

criterion_group!(benches, contract);
criterion_main!(benches);
