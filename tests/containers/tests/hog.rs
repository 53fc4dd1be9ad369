//! What a container that takes all it can leaves its neighbours. In a binary of its own: nothing else is to run beside it.

#![cfg(target_os = "linux")]

use std::time::{Duration, Instant};

use synapse_container::{Container, ContainerSpec, Owner, Runtime};
use tokio::time::sleep;

/// How often it is measured; the middle counts.
const PAIRS: usize = 7;

#[tokio::test(flavor = "multi_thread")]
async fn neighbours_of_a_hog_keep_their_share() {
    let runtime = {
        let owner = Owner::new("test-hog").expect("a name");
        Runtime::connect_to(&parts::docker(), owner)
            .await
            .expect("Docker runs")
    };
    runtime.reconcile().await.expect("it answers");
    let image = parts::image("probe");
    let neighbour = ContainerSpec::new(&image)
        .command(["/probe", "work"])
        .memory(32 << 20)
        .cpus(0.2);
    let neighbour = runtime.start(&neighbour, 0).await.expect("it starts");
    let hog = ContainerSpec::new(&image)
        .command(["sh", "-c", "while /probe work & do :; done; /probe work"])
        .memory(64 << 20)
        .cpus(0.5)
        .processes(32);
    let mut ratios = Vec::new();
    let mut alone = share(&neighbour).await;
    for _ in 0..PAIRS {
        let hogging = runtime.start(&hog, 1).await.expect("it starts");
        let beside = share(&neighbour).await;
        hogging.remove().await.expect("it goes");
        let after = share(&neighbour).await;
        ratios.push(2.0 * beside / (alone + after));
        alone = after;
    }
    neighbour.remove().await.expect("it goes");
    ratios.sort_by(f64::total_cmp);
    println!("of the processor's time beside a hog, to that alone: {ratios:.2?}");
    assert!(ratios[PAIRS / 2] >= 0.9, "{ratios:?}");
}

/// The share of a processor that it has, over a second and a half.
async fn share(container: &Container) -> f64 {
    let (from, since) = (container.usage().await.expect("it runs").cpu, Instant::now());
    sleep(Duration::from_millis(1500)).await;
    let had = container.usage().await.expect("it runs").cpu - from;
    had.as_secs_f64() / since.elapsed().as_secs_f64()
}
