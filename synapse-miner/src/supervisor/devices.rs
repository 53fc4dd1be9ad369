//! Which devices an engine sees.

use std::fmt::Write as _;

/// The devices that an engine sees, by the variable that its libraries read. They renumber: it counts them from 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Devices {
    variables: &'static [&'static str],
    value: String,
    /// Set besides, with its value.
    order: Option<(&'static str, &'static str)>,
}

impl Devices {
    /// These of NVIDIA's (`CUDA_VISIBLE_DEVICES`), as `nvidia-smi` and [`Gpu::index`](crate::monitor::Gpu::index) count:
    /// `CUDA_DEVICE_ORDER` is `PCI_BUS_ID`, without which CUDA counts the fastest first.
    #[must_use]
    pub fn cuda(indices: impl IntoIterator<Item = u32>) -> Self {
        Self {
            variables: &["CUDA_VISIBLE_DEVICES"],
            value: list(indices),
            order: Some(("CUDA_DEVICE_ORDER", "PCI_BUS_ID")),
        }
    }

    /// These of AMD's (`ROCR_VISIBLE_DEVICES`, and no `HIP_VISIBLE_DEVICES`, which would choose among those chosen).
    #[must_use]
    pub fn rocm(indices: impl IntoIterator<Item = u32>) -> Self {
        Self {
            variables: &["ROCR_VISIBLE_DEVICES"],
            value: list(indices),
            order: None,
        }
    }

    /// These of Intel's, through Level Zero (`ONEAPI_DEVICE_SELECTOR`).
    #[must_use]
    pub fn intel(indices: impl IntoIterator<Item = u32>) -> Self {
        Self {
            variables: &["ONEAPI_DEVICE_SELECTOR"],
            value: format!("level_zero:{}", list(indices)),
            order: None,
        }
    }

    /// None: it computes on the processor.
    #[must_use]
    pub fn none() -> Self {
        Self {
            variables: &[
                "CUDA_VISIBLE_DEVICES",
                "ROCR_VISIBLE_DEVICES",
                "HIP_VISIBLE_DEVICES",
            ],
            value: "-1".to_owned(),
            order: None,
        }
    }

    /// What is set in its environment.
    pub(super) fn variables(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let chosen = self.variables.iter().map(|name| (*name, self.value.as_str()));
        chosen.chain(self.order)
    }

    /// What must not be there besides.
    pub(super) fn removed(&self) -> Option<&'static str> {
        (self.variables == ["ROCR_VISIBLE_DEVICES"]).then_some("HIP_VISIBLE_DEVICES")
    }
}

fn list(indices: impl IntoIterator<Item = u32>) -> String {
    let mut list = String::new();
    for index in indices {
        let comma = if list.is_empty() { "" } else { "," };
        let _ = write!(list, "{comma}{index}");
    }
    list
}
