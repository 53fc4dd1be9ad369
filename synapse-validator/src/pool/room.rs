//! What a member says that it has room for.

use std::sync::{Mutex, PoisonError};

use synapse_core::Capacity;

/// What a member said when it was last looked at that it has room for, and how far that goes.
///
/// It is a claim, and may only lower what the member gets: one that says it is full is taken for busier than what was measured
/// of it, by as much as is sent to it beyond its places. One that says it has a thousand places is as busy as it was measured
/// to be, just as one that says nothing.
#[derive(Debug, Default)]
pub(super) struct Room(Mutex<Option<Claim>>);

#[derive(Debug, Clone, Copy)]
struct Claim {
    capacity: Capacity,
    /// Requests of others that it worked on, or that waited there.
    others: u32,
}

impl Room {
    /// It says this, with so many requests of this pool under way.
    pub(super) fn note(&self, capacity: Option<Capacity>, in_flight: u32) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = capacity.map(|capacity| Claim {
            capacity,
            others: capacity
                .busy
                .saturating_add(capacity.waiting)
                .saturating_sub(in_flight),
        });
    }

    /// What it said.
    pub(super) fn claimed(&self) -> Option<Capacity> {
        self.claim().map(|claim| claim.capacity)
    }

    /// How many times busier it is than what was measured of it, with so many requests of this pool under way: 1 where it
    /// has room for another, else more by one with each that would have to wait.
    pub(super) fn crowding(&self, in_flight: u32) -> f64 {
        let Some(claim) = self.claim() else { return 1.0 };
        let Some(slots) = claim.capacity.slots else {
            return 1.0;
        };
        let with_another = in_flight.saturating_add(claim.others).saturating_add(1);
        1.0 + f64::from(with_another.saturating_sub(slots))
    }

    fn claim(&self) -> Option<Claim> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_only_ever_makes_busier() {
        let room = Room::default();
        let crowding = |capacity, in_flight| {
            room.note(capacity, 1);
            room.crowding(in_flight)
        };
        assert!((crowding(None, 100) - 1.0).abs() < f64::EPSILON);
        assert!((crowding(Some(Capacity::default()), 100) - 1.0).abs() < f64::EPSILON);
        assert!((crowding(Some(Capacity::new(1_000, 0)), 100) - 1.0).abs() < f64::EPSILON);
        assert!((crowding(Some(Capacity::new(4, 1)), 3) - 1.0).abs() < f64::EPSILON);
        assert!((crowding(Some(Capacity::new(4, 1)), 4) - 2.0).abs() < f64::EPSILON);
        // Three of others, two that wait: six places are full with one of this pool's.
        let busy = Capacity::new(6, 4).with_waiting(2);
        assert!((crowding(Some(busy), 0) - 1.0).abs() < f64::EPSILON);
        assert!((crowding(Some(busy), 1) - 2.0).abs() < f64::EPSILON);
        let absurd = Capacity::new(0, u32::MAX).with_waiting(u32::MAX);
        assert!(crowding(Some(absurd), u32::MAX).is_finite());
    }
}
