//! What holds of the turns whatever happens, and how far from their shares callers get.

use proptest::{collection::vec, prelude::*};

use super::{
    Priority,
    asker::{Asker, Claim},
    turns::{Entered, Turn, Turns},
};

#[derive(Debug, Clone)]
enum Event {
    Enters { who: u8, cost: u64, batch: bool },
    Leaves(usize),
    Ends { which: usize, used: u64 },
    Places(usize),
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let one = prop_oneof![
        6 => (0..6_u8, 1..5_000_u64, any::<bool>()).prop_map(|(who, cost, batch)| Event::Enters { who, cost, batch }),
        2 => (0..64_usize).prop_map(Event::Leaves),
        4 => (0..64_usize, 0..10_000_u64).prop_map(|(which, used)| Event::Ends { which, used }),
        1 => (0..5_usize).prop_map(Event::Places),
    ];
    vec(one, 1..300)
}

fn claim(who: u8, stake: u64, cost: u64) -> Claim {
    Claim {
        asker: Asker::Caller(format!("c{who}").into()),
        stake,
        priority: Priority::Interactive,
        cost,
    }
}

/// Who holds what, as the world outside sees it.
#[derive(Default)]
struct World {
    waiting: Vec<(u64, Asker, u64)>,
    under_way: Vec<Turn>,
    next: u64,
    entered: u64,
    over: u64,
}

impl World {
    fn apply(&mut self, turns: &mut Turns<u64>, event: &Event) {
        match *event {
            Event::Enters { who, cost, batch } => {
                let mut claim = claim(who, u64::from(who) * 100, cost);
                if batch {
                    claim.priority = Priority::Batch;
                }
                self.enter(turns, &claim);
            }
            Event::Leaves(which) if !self.waiting.is_empty() => {
                let (_, asker, number) = self.waiting.swap_remove(which % self.waiting.len());
                assert!(turns.leave(&asker, number), "whoever waits can leave");
                assert!(!turns.leave(&asker, number), "once");
                self.over += 1;
            }
            Event::Ends { which, used } if !self.under_way.is_empty() => {
                let turn = self.under_way.swap_remove(which % self.under_way.len());
                turns.finish(turn, used);
                self.over += 1;
            }
            Event::Places(places) => turns.set_places(places.max(1)),
            Event::Leaves(_) | Event::Ends { .. } => {}
        }
        while let Some((turn, token)) = turns.next() {
            self.waiting.retain(|(other, ..)| *other != token);
            self.under_way.push(turn);
        }
    }

    fn enter(&mut self, turns: &mut Turns<u64>, claim: &Claim) {
        let token = self.next;
        self.next += 1;
        self.entered += 1;
        match turns.enter(claim, token) {
            Entered::Started(turn) => self.under_way.push(turn),
            Entered::Full => self.over += 1,
            Entered::Waits {
                asker,
                number,
                position,
                displaced,
            } => {
                assert!(position >= 1);
                self.waiting.push((token, asker, number));
                if let Some(displaced) = displaced {
                    self.waiting.retain(|(other, ..)| *other != displaced);
                    self.over += 1;
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    /// Places and positions are conserved, nobody is lost, and no place is idle while somebody waits.
    #[test]
    fn whoever_comes_leaves_or_ends(events in events(), places in 1..4_usize, bound in 0..12_usize, callers in 1..8_usize) {
        let mut turns = Turns::new(places, bound, callers);
        let mut world = World::default();
        for event in &events {
            world.apply(&mut turns, event);
            prop_assert_eq!(turns.waiting(), world.waiting.len());
            prop_assert_eq!(turns.busy(), world.under_way.len());
            prop_assert!(turns.waiting() <= bound);
            prop_assert!(turns.waiting() == 0 || turns.busy() >= turns.places(), "a place is idle");
            let accounts = turns.accounts();
            prop_assert_eq!(accounts.iter().map(|account| account.waiting).sum::<usize>(), turns.waiting());
            prop_assert_eq!(accounts.iter().map(|account| account.busy).sum::<usize>(), turns.busy());
            prop_assert!(accounts.len() <= callers + 1, "{} callers are known", accounts.len());
        }
        let left = world.waiting.len() + world.under_way.len();
        prop_assert_eq!(world.entered, world.over + left as u64, "each has one end, or none yet");
        // All of them come to their turn, in bounded time.
        while !world.under_way.is_empty() {
            world.apply(&mut turns, &Event::Ends { which: 0, used: 100 });
        }
        prop_assert_eq!((turns.waiting(), turns.busy()), (0, 0));
        prop_assert!(world.waiting.is_empty());
    }

    /// Two who always have somebody in line get tokens by their stakes, but for one request of each.
    #[test]
    fn tokens_go_by_stake(costs in vec((1..4_000_u64, 1..4_000_u64), 300..400), ratio in 1..20_u64, places in 1..4_usize) {
        let mut turns = Turns::new(places, usize::MAX, 16);
        let stakes = [100 * ratio, 100];
        for (rich, poor) in &costs {
            turns.enter(&claim(0, stakes[0], *rich), (0, *rich));
            turns.enter(&claim(1, stakes[1], *poor), (1, *poor));
        }
        let mut served = [0_i64; 2];
        // Those who found a free place and no line are nobody's share.
        turns.set_places(places + 1);
        while turns.accounts().iter().filter(|account| account.waiting > 0).count() == 2 {
            let Some((turn, (who, cost))) = turns.next() else { break };
            served[who] += cost.cast_signed();
            turns.finish(turn, cost);
        }
        let off = served[0] - served[1] * ratio.cast_signed();
        // The weight is a whole number of 1,024ths.
        let rounding = served[0] / 50;
        let bound = 4_000 * (1 + ratio.cast_signed()) + rounding;
        prop_assert!(off.abs() <= bound, "{served:?} at {ratio}:1 is off by {off}, more than {bound}");
    }

    /// What counts is what requests took, not what was said before.
    #[test]
    fn who_understates_pays_later(understated in 2..16_u64) {
        let mut turns = Turns::new(1, usize::MAX, 16);
        let mut used = [0_u64; 2];
        for _ in 0..2_000 {
            turns.enter(&claim(0, 0, 1_600 / understated), (0, 1_600));
            turns.enter(&claim(1, 0, 1_600), (1, 1_600));
        }
        turns.set_places(2);
        for _ in 0..1_000 {
            let (turn, (who, took)) = turns.next().unwrap();
            used[who] += took;
            turns.finish(turn, took);
        }
        let share = used[0] as f64 / (used[0] + used[1]) as f64;
        prop_assert!((0.49..=0.51).contains(&share), "{share}");
    }
}

/// A flood of the highest stake goes before whoever has nothing at stake 64 times at most.
#[test]
fn the_least_stake_comes_to_its_turn() {
    let mut turns = Turns::new(1, usize::MAX, 16);
    turns.enter(&claim(0, 1_000_000, 500), "flood");
    for _ in 0..500 {
        turns.enter(&claim(0, 1_000_000, 500), "flood");
    }
    turns.enter(&claim(1, 0, 500), "poor");
    turns.set_places(usize::MAX);
    let before = std::iter::from_fn(|| turns.next())
        .take_while(|(_, who)| *who != "poor")
        .count();
    assert!((32..=64).contains(&before), "{before}");
}

#[test]
fn every_fifth_of_a_callers_own_is_a_batch() {
    let mut turns = Turns::new(1, usize::MAX, 16);
    let batch = Claim {
        priority: Priority::Batch,
        ..claim(0, 0, 100)
    };
    turns.enter(&batch, "running");
    for _ in 0..4 {
        turns.enter(&batch, "b");
    }
    for _ in 0..10 {
        turns.enter(&claim(0, 0, 100), "i");
    }
    turns.set_places(usize::MAX);
    let order: String = std::iter::from_fn(|| turns.next()).map(|(_, who)| who).collect();
    assert_eq!(order, "iiiibiiiibiibb");
}

#[test]
fn a_full_line_sends_away_the_newest_of_the_longest_for_its_stake() {
    let mut turns = Turns::new(1, 4, 16);
    turns.enter(&claim(0, 100, 100), 0);
    for token in 1..5 {
        turns.enter(&claim(0, 100, 100), token);
    }
    assert!(
        matches!(turns.enter(&claim(0, 100, 100), 5), Entered::Full),
        "his own line is the longest"
    );
    let displaced =
        |turns: &mut Turns<i32>, who, stake, token| match turns.enter(&claim(who, stake, 100), token) {
            Entered::Waits { displaced, .. } => displaced,
            _ => None,
        };
    assert_eq!(displaced(&mut turns, 1, 100, 6), Some(4));
    assert_eq!(displaced(&mut turns, 1, 100, 7), Some(3));
    assert_eq!(displaced(&mut turns, 1, 100, 8), None, "two and two");
    assert_eq!(
        displaced(&mut turns, 2, 10, 9),
        None,
        "a tenth of the stake is worth less than one of two"
    );
    assert_eq!(displaced(&mut turns, 2, 100, 10), Some(7));
}
