//! The sections of a configuration for what stands before the engine.

use synapse_core::config::Loader;
use synapse_miner::{
    AdmissionLayer, CircuitBreakerLayer, QueueLayer,
    config::{AdmissionConfig, BreakerConfig, QueueConfig},
    monitor::{ResourceMonitor, Resources},
};

#[test]
fn what_nobody_sets_is_what_the_layers_have_anyway() {
    let monitor = ResourceMonitor::fixed(Resources::default());
    assert_eq!(
        format!("{:?}", AdmissionConfig::default().layer(monitor.clone())),
        format!("{:?}", AdmissionLayer::new(monitor))
    );
    assert_eq!(
        format!("{:?}", BreakerConfig::default().layer()),
        format!("{:?}", CircuitBreakerLayer::default())
    );
    assert_eq!(
        format!("{:?}", QueueConfig::default().layer()),
        format!("{:?}", QueueLayer::bounded(64).concurrency(4))
    );
}

#[test]
fn a_longest_wait_below_the_first_is_refused() {
    let environment = [("SYNAPSE_FIRST", "2s"), ("SYNAPSE_LONGEST", "1s")];
    let environment = environment.map(|(name, value)| (name.into(), value.into()));
    let wrong = Loader::<BreakerConfig>::new()
        .environment(environment)
        .load()
        .unwrap_err();
    assert_eq!(
        wrong.to_string(),
        "SYNAPSE_LONGEST: longest: it is less than the first"
    );
}
