//! Untrue claims.

use synapse_core::{MetricsData, ModelInfo, ModuleCapabilities, Task};

use super::{Broken, claims};

pub(crate) fn ready_without_a_model() -> Broken {
    Broken {
        claims: Box::new(|_| ModuleCapabilities::new("empty").with_task(Task::CHAT)),
        ..Broken::honest()
    }
}

pub(crate) fn changing_capabilities() -> Broken {
    Broken {
        claims: Box::new(|nth| claims().with_model(ModelInfo::new(format!("model-{nth}")))),
        ..Broken::honest()
    }
}

pub(crate) fn falling_counters() -> Broken {
    Broken {
        metrics: Box::new(|nth| {
            let mut metrics = MetricsData::default();
            metrics.counter("requests.total", 1000 - nth as u64);
            metrics
        }),
        ..Broken::honest()
    }
}

pub(crate) fn odd_metric_names() -> Broken {
    Broken {
        metrics: Box::new(|_| {
            let mut metrics = MetricsData::default();
            metrics.gauge("Requests Waiting", 1.0);
            metrics
        }),
        ..Broken::honest()
    }
}
