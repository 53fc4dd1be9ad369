//! A configuration that is read again while the program runs.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use super::{Configuration, Loader, Origin, Problems, Setting, Wrong, loader::Told};
use crate::{Watch, WatchSender};

/// A configuration as it is now, for those who follow it. A clone is the same one.
///
/// [`reload`](Self::reload) reads everything again and replaces all of it, or nothing where something is wrong.
pub struct Live<T>(Arc<Inner<T>>);

struct Inner<T> {
    loader: Loader<T>,
    /// As the program started with it.
    started: Arc<Told>,
    told: Mutex<Arc<Told>>,
    shown: WatchSender<T>,
}

/// An option that a reload changed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Change {
    /// Its key.
    pub key: String,
    /// What is in effect until then, as a file has it; a secret is `(secret)`.
    pub old: String,
    /// What it is.
    pub new: String,
    /// Who said so.
    pub origin: Origin,
    /// Whether it takes effect only when the program starts.
    pub needs_restart: bool,
}

impl<T: Configuration> Live<T> {
    /// Reads it for the first time.
    ///
    /// # Errors
    /// As [`Loader::load`].
    pub fn new(loader: Loader<T>) -> Result<Self, Problems> {
        let (value, told) = loader.load()?.into_parts();
        let told = Arc::new(told);
        Ok(Self(Arc::new(Inner {
            started: told.clone(),
            shown: Watch::channel(value).0,
            told: Mutex::new(told),
            loader,
        })))
    }

    /// Reads it again, and says what changed; of what takes effect only at the start, each time what it is not yet. Blocks for
    /// as long as the file takes.
    ///
    /// # Errors
    /// As [`Loader::load`]; all stays as it was.
    pub fn reload(&self) -> Result<Vec<Change>, Problems> {
        self.reload_checked(|_, _| {})
    }

    /// The same, where `check` finds nothing wrong either: it says what only a program that runs can, such as that what it
    /// has begun with may not change.
    ///
    /// # Errors
    /// As [`reload`](Self::reload), and what `check` says.
    pub fn reload_checked(&self, check: impl FnOnce(&T, &mut Wrong)) -> Result<Vec<Change>, Problems> {
        // Held while it is read, so that of two reloads the later one stays.
        let mut told = self.0.told.lock().unwrap_or_else(PoisonError::into_inner);
        let (value, next) = self.0.loader.load_checked(check)?.into_parts();
        let changes: Vec<_> = changes(&self.0.started, &told, &next).collect();
        let mut settings = next.schema().settings().iter();
        if settings.any(|setting| told.value(setting) != next.value(setting)) {
            self.0.shown.set(value);
        }
        *told = Arc::new(next);
        Ok(changes)
    }
}

impl<T> Live<T> {
    /// The configuration as it is now.
    #[must_use]
    pub fn current(&self) -> Arc<T> {
        self.0.shown.current()
    }

    /// Follows it.
    #[must_use]
    pub fn follow(&self) -> Watch<T> {
        self.0.shown.follow()
    }
}

/// Against what is in effect: of what needs a restart, what the program started with.
fn changes<'a>(started: &'a Told, told: &'a Told, new: &'a Told) -> impl Iterator<Item = Change> + 'a {
    let settings = new.schema().settings().iter();
    let before = move |setting: &Setting| if setting.restart { started } else { told };
    let with_old = settings.map(move |setting| (setting, before(setting)));
    let changed = with_old.filter(|(setting, old)| old.value(setting) != new.value(setting));
    changed.map(|(setting, old)| Change {
        key: setting.key.clone(),
        old: setting.show(old.value(setting)),
        new: setting.show(new.value(setting)),
        origin: new.origin(setting),
        needs_restart: setting.restart,
    })
}

/// `pool.attempts = 5 (was 3)`.
impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} = {} (was {})", self.key, self.new, self.old)
    }
}

impl<T> Clone for Live<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> fmt::Debug for Live<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Live")
            .field("loader", &self.0.loader)
            .finish_non_exhaustive()
    }
}
