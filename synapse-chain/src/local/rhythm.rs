//! Blocks, epochs and phases.

use synapse_core::{BlockNumber, Epoch, EpochId, Error, Phase, SubnetParams};

/// Whether an epoch has blocks to serve in and blocks to weigh in.
pub(super) fn check(params: &SubnetParams) -> Result<(), Error> {
    if params.weighing_blocks == 0 || params.weighing_blocks >= params.epoch_blocks {
        return Err(Error::invalid(
            "bad_params",
            format!(
                "an epoch of {} blocks cannot take weights in its last {}",
                params.epoch_blocks, params.weighing_blocks
            ),
        )
        .with_hint("choose 1 ≤ weighing_blocks < epoch_blocks"));
    }
    Ok(())
}

/// The epoch that ends where `block` is made.
pub(super) fn ended_by(block: BlockNumber, params: &SubnetParams) -> Option<EpochId> {
    (block.0 > 0 && block.0.is_multiple_of(params.epoch_blocks))
        .then(|| EpochId(block.0 / params.epoch_blocks - 1))
}

/// The epoch that `block` belongs to. Epochs are counted from block 0.
pub(super) fn epoch_at(block: BlockNumber, params: &SubnetParams) -> Epoch {
    let id = block.0 / params.epoch_blocks;
    let starts = id * params.epoch_blocks;
    let ends = starts.saturating_add(params.epoch_blocks);
    let weighing = block.0 >= ends - params.weighing_blocks;
    let phase = if weighing { Phase::Weighing } else { Phase::Serving };
    Epoch::new(EpochId(id), phase, BlockNumber(starts), BlockNumber(ends))
}
