//! The GPUs, where NVIDIA's library knows some.

use super::Gpu;

/// NVIDIA's library, loaded at the first look.
#[derive(Default)]
pub(super) struct Gpus {
    #[cfg(feature = "nvml")]
    library: Option<Option<nvml_wrapper::Nvml>>,
}

impl Gpus {
    #[cfg(not(feature = "nvml"))]
    #[expect(clippy::unused_self, reason = "with the feature nvml it has a library")]
    pub(super) fn look(&mut self) -> Vec<Gpu> {
        Vec::new()
    }

    #[cfg(feature = "nvml")]
    pub(super) fn look(&mut self) -> Vec<Gpu> {
        let library = self.library.get_or_insert_with(|| {
            nvml_wrapper::Nvml::init()
                .inspect_err(|error| tracing::info!(%error, "no NVIDIA GPU is watched"))
                .ok()
        });
        let Some(library) = library else { return Vec::new() };
        let count = library.device_count().unwrap_or(0);
        (0..count).filter_map(|index| see(library, index)).collect()
    }
}

/// `None` where the driver does not say, as of a GPU that fell off its bus.
#[cfg(feature = "nvml")]
fn see(library: &nvml_wrapper::Nvml, index: u32) -> Option<Gpu> {
    let device = library.device_by_index(index).ok()?;
    let memory = device.memory_info().ok()?;
    let load = device.utilization_rates().ok();
    Some(Gpu {
        index,
        name: device.name().unwrap_or_else(|_| "an NVIDIA GPU".to_owned()),
        memory_total: memory.total,
        memory_free: memory.free,
        load: load.map(|rates| f64::from(rates.gpu) / 100.0),
    })
}
