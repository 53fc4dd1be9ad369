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
        self.look_with(nvml_wrapper::Nvml::init)
    }

    #[cfg(feature = "nvml")]
    fn look_with(
        &mut self,
        load: impl FnOnce() -> Result<nvml_wrapper::Nvml, nvml_wrapper::error::NvmlError>,
    ) -> Vec<Gpu> {
        let library = self.library.get_or_insert_with(|| {
            load()
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

#[cfg(all(test, feature = "nvml"))]
mod tests {
    use std::{
        io::Write,
        sync::{Arc, Mutex},
    };

    use super::*;

    #[derive(Clone, Default)]
    struct Said(Arc<Mutex<Vec<u8>>>);

    impl Write for Said {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().expect("no panic").write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_machine_without_the_library_has_no_gpus_and_says_so_once() {
        let said = Said::default();
        let to = said.clone();
        let log = tracing_subscriber::fmt().with_writer(move || to.clone()).finish();
        tracing::subscriber::with_default(log, || {
            let mut gpus = Gpus::default();
            for _ in 0..3 {
                let missing = "/nowhere/libnvidia-ml.so".as_ref();
                let seen = gpus.look_with(|| nvml_wrapper::Nvml::builder().lib_path(missing).init());
                assert_eq!(seen, []);
            }
        });
        let said = String::from_utf8(said.0.lock().expect("no panic").clone()).expect("text");
        assert_eq!(said.matches("no NVIDIA GPU is watched").count(), 1, "{said}");
    }
}
