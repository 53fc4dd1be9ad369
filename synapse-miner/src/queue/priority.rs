//! Which of a caller's own requests goes first.

/// Which of a caller's own requests goes first: an extension of the [`Input`](synapse_core::Input), set by whoever knows
/// that nobody sits and waits. No header sets it: it is for stacks in Rust, whose own layers know.
///
/// It orders what one caller has in line, and takes nothing from another's share, so that nobody gains by calling
/// everything urgent. Where both kinds wait, every fifth start is a batch's: it is slowed down, never starved.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Priority {
    /// Somebody waits for it.
    #[default]
    Interactive,
    /// Nobody does: it goes behind what somebody waits for, and where the line is full it is sent away first.
    Batch,
}
