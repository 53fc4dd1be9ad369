use std::time::Instant;
use synapse_llama::LlamaWeights;
use synapse_llama::engine::*;

#[tokio::test]
async fn smoke() {
    let path = std::env::var("HOME").unwrap() + "/.cache/synapse/models/SmolLM2-135M-Instruct.Q4_1.gguf";
    let t = Instant::now();
    let w = LlamaWeights::load(&path).unwrap();
    println!("load {:?} {w:?} n_ctx {}", t.elapsed(), w.trained_context_length());
    let t = Instant::now();
    let mut config = EngineConfig::default();
    config.context_length = Some(2048);
    let e = Engine::start(&w, &config).unwrap();
    println!("start {:?}", t.elapsed());
    for run in 0..2 {
        let t = Instant::now();
        let mut r = GenerateRequest::new((0..60).map(|i| 1000 + i).collect());
        r.max_tokens = Some(100);
        r.sampling = if run == 0 { Sampling::greedy() } else { Sampling::default() };
        let mut g = e.generate(r).unwrap();
        let mut s = String::new();
        while let Some(ev) = g.next().await {
            match ev.unwrap() { GenerationEvent::Text { text, .. } => s += &text, e => println!("{e:?} {:?}", t.elapsed()) }
        }
        println!("{s}");
    }
    let t = Instant::now();
    let v = e.embed((0..300).map(|i| 1000 + i).collect()).await.unwrap();
    println!("embed {:?} {}", t.elapsed(), v.len());
    let t = Instant::now();
    let v2 = e.embed((0..300).map(|i| 1000 + i).collect()).await.unwrap();
    println!("embed {:?} {}", t.elapsed(), v2 == v);
    println!("{:?}", e.stats());
}
