//! Time for each request with 1, 64 and 1,024 in line, of one caller and of sixty-four.

#![allow(missing_docs, reason = "criterion's macros write functions without any")]

use std::time::Instant;

use criterion::{Criterion, criterion_group, criterion_main};
use fairness::{ask, engine, guarded, queued};
use synapse_core::InferenceModule;
use tokio::runtime::Builder;

fn queue(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("queue");
    let (bare, queued, guarded) = (engine(), queued(), guarded());
    let modules: [(&str, &dyn InferenceModule); 3] =
        [("bare", &bare), ("queue", &queued), ("stack", &guarded)];
    for (name, module) in modules {
        for (waiting, callers) in [(1, 1), (64, 1), (64, 64), (1024, 1), (1024, 64)] {
            let runtime = Builder::new_current_thread()
                .enable_time()
                .build()
                .expect("a runtime without I/O");
            group.bench_function(format!("{name}/{waiting}_waiting/{callers}_callers"), |bencher| {
                bencher.iter_custom(|requests| {
                    let start = Instant::now();
                    runtime.block_on(ask(module, waiting + 1, callers, requests));
                    start.elapsed()
                });
            });
        }
    }
    group.finish();
}

criterion_group!(benches, queue);
criterion_main!(benches);
