//! A value that changes, and those who follow it.

use std::{fmt, sync::Arc};

use tokio::sync::watch;

/// Follows a value that somebody else changes: a directory, an epoch. A clone follows on its own.
///
/// Only the latest value is kept, so a slow follower skips some and never holds anybody up.
pub struct Watch<T>(watch::Receiver<Arc<T>>);

/// The side that changes the value.
pub struct WatchSender<T>(watch::Sender<Arc<T>>);

impl<T> Watch<T> {
    /// A value and its followers.
    pub fn channel(value: T) -> (WatchSender<T>, Self) {
        let (sender, receiver) = watch::channel(Arc::new(value));
        (WatchSender(sender), Self(receiver).clone())
    }

    /// A value that never changes.
    pub fn constant(value: T) -> Self {
        Self::channel(value).1
    }

    /// The value as it is now.
    #[must_use]
    pub fn current(&self) -> Arc<T> {
        self.0.borrow().clone()
    }

    /// Waits for a value that this follower has not seen; the first call returns at once. `None` once nobody can
    /// change it any more and the last one was seen. Cancel safe.
    pub async fn next(&mut self) -> Option<Arc<T>> {
        if self.0.changed().await.is_err() {
            return None;
        }
        Some(self.0.borrow_and_update().clone())
    }
}

impl<T> Clone for Watch<T> {
    fn clone(&self) -> Self {
        let mut receiver = self.0.clone();
        receiver.mark_changed();
        Self(receiver)
    }
}

impl<T: fmt::Debug> fmt::Debug for Watch<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Watch").field(&self.current()).finish()
    }
}

impl<T> WatchSender<T> {
    /// Replaces the value and tells the followers.
    pub fn set(&self, value: T) {
        self.0.send_replace(Arc::new(value));
    }

    /// The value as it is now.
    #[must_use]
    pub fn current(&self) -> Arc<T> {
        self.0.borrow().clone()
    }

    /// One more follower.
    #[must_use]
    pub fn follow(&self) -> Watch<T> {
        Watch(self.0.subscribe()).clone()
    }

    /// Whether anybody follows.
    #[must_use]
    pub fn is_followed(&self) -> bool {
        !self.0.is_closed()
    }

    /// Waits until nobody follows; at once where nobody does. Somebody may again, later. Cancel safe.
    pub async fn closed(&self) {
        self.0.closed().await;
    }
}

impl<T: fmt::Debug> fmt::Debug for WatchSender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("WatchSender").field(&self.current()).finish()
    }
}
