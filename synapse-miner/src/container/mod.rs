//! An image that is run here, as a module.
