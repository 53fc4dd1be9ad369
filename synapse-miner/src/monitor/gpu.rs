//! The GPUs, where NVIDIA's library knows some.

use super::Gpu;

/// NVIDIA's library, loaded at the first look.
#[derive(Default)]
pub(super) struct Gpus {
    /// All of them where nobody chose.
    #[cfg(feature = "nvml")]
    chosen: Option<Vec<u32>>,
    #[cfg(feature = "nvml")]
    library: Option<Option<nvml_wrapper::Nvml>>,
}

impl Gpus {
    /// These of them.
    #[cfg(feature = "nvml")]
    pub(super) fn of(chosen: Option<Vec<u32>>) -> Self {
        Self {
            chosen,
            library: None,
        }
    }

    #[cfg(not(feature = "nvml"))]
    pub(super) fn of(_: Option<Vec<u32>>) -> Self {
        Self::default()
    }

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
        let chosen = self.chosen.as_deref();
        let library = self.library.get_or_insert_with(|| {
            let library = load()
                .inspect_err(|error| tracing::info!(%error, "no NVIDIA GPU is watched"))
                .ok()?;
            let count = library.device_count().unwrap_or(0);
            for index in absent(chosen, count) {
                tracing::warn!(index, count, "there is no such GPU to be watched");
            }
            Some(library)
        });
        let Some(library) = library else { return Vec::new() };
        let count = library.device_count().unwrap_or(0);
        let watched = (0..count).filter(|index| chosen.is_none_or(|chosen| chosen.contains(index)));
        watched.filter_map(|index| see(library, index)).collect()
    }
}

/// Those that were chosen, and that a machine with `count` GPUs does not have.
#[cfg(feature = "nvml")]
fn absent(chosen: Option<&[u32]>, count: u32) -> impl Iterator<Item = u32> {
    let chosen = chosen.unwrap_or_default().iter().copied();
    chosen.filter(move |index| *index >= count)
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
    fn a_chosen_gpu_that_is_not_there_is_named() {
        let absent = |chosen: Option<&[u32]>, count| super::absent(chosen, count).collect::<Vec<_>>();
        assert!(absent(None, 0).is_empty());
        assert!(absent(Some(&[0, 1]), 2).is_empty());
        assert_eq!(absent(Some(&[0, 7, 2]), 2), [7, 2]);
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
