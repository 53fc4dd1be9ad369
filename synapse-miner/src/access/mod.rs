//! Who may call, and how much.

mod standing;

pub use self::standing::Standing;
