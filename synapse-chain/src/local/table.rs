//! A part of the state that a block changes as a whole, or not at all.

use std::collections::BTreeMap;

/// Entries as the last committed block left them, and what the block that is being made changes.
#[derive(Debug)]
pub(super) struct Table<K, V> {
    committed: BTreeMap<K, V>,
    /// `None` where the block removes the entry.
    pending: BTreeMap<K, Option<V>>,
}

impl<K, V> Default for Table<K, V> {
    fn default() -> Self {
        Self {
            committed: BTreeMap::new(),
            pending: BTreeMap::new(),
        }
    }
}

impl<K: Ord + Clone, V: Clone> Table<K, V> {
    /// An entry as the block that is being made sees it.
    pub(super) fn get(&self, key: &K) -> Option<&V> {
        match self.pending.get(key) {
            Some(pending) => pending.as_ref(),
            None => self.committed.get(key),
        }
    }

    pub(super) fn set(&mut self, key: K, value: V) {
        self.pending.insert(key, Some(value));
    }

    pub(super) fn remove(&mut self, key: &K) {
        self.pending.insert(key.clone(), None);
    }

    /// The entries from `start` on for which `of` holds, in no order, as the block that is being made sees them.
    pub(super) fn run<'a>(
        &'a self,
        start: K,
        of: impl Fn(&K) -> bool + Copy + 'a,
    ) -> impl Iterator<Item = (&'a K, &'a V)> {
        let untouched = self
            .committed
            .range(start.clone()..)
            .take_while(move |(key, _)| of(key))
            .filter(|(key, _)| !self.pending.contains_key(*key));
        let touched = self
            .pending
            .range(start..)
            .take_while(move |(key, _)| of(key))
            .filter_map(|(key, value)| Some((key, value.as_ref()?)));
        untouched.chain(touched)
    }

    /// An entry as the last committed block left it.
    pub(super) fn committed(&self, key: &K) -> Option<&V> {
        self.committed.get(key)
    }

    /// The committed entries from `start` on for which `of` holds, sorted.
    pub(super) fn committed_run<'a>(
        &'a self,
        start: K,
        of: impl Fn(&K) -> bool + 'a,
    ) -> impl Iterator<Item = (&'a K, &'a V)> {
        self.committed.range(start..).take_while(move |(key, _)| of(key))
    }

    /// What the block changes, sorted.
    pub(super) fn changes(&self) -> impl Iterator<Item = (&K, Option<&V>)> {
        self.pending.iter().map(|(key, value)| (key, value.as_ref()))
    }

    pub(super) fn commit(&mut self) {
        for (key, value) in std::mem::take(&mut self.pending) {
            match value {
                Some(value) => self.committed.insert(key, value),
                None => self.committed.remove(&key),
            };
        }
    }

    pub(super) fn discard(&mut self) {
        self.pending.clear();
    }
}
