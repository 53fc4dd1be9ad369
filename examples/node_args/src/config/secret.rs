//! Secrets where none belong: refused, and not echoed.

use synapse_core::{Endpoint, config::Wrong};

pub(crate) const NO_VARIABLE: &str = "it is no name of an environment variable, which has letters, digits and _ alone; \
     the name belongs here, and the secret into the variable";

/// Whether a variable may be called so, and not only a secret.
pub(crate) fn is_variable(name: &str) -> bool {
    let letters = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    letters && name.starts_with(|c: char| !c.is_ascii_digit())
}

/// Refuses what cannot be the name of a variable.
pub fn check_variable(wrong: &mut Wrong, key: &str, name: Option<&str>) {
    if name.is_some_and(|name| !is_variable(name)) {
        wrong.add(key, NO_VARIABLE);
    }
}

/// Refuses what is no endpoint.
pub fn check_endpoint(wrong: &mut Wrong, key: &str, url: Option<&str>) {
    let Some(url) = url else { return };
    if url.contains('@') {
        wrong.add(
            key,
            "it holds a user or a password, which everybody would read here",
        );
    } else if let Err(error) = Endpoint::http(url) {
        wrong.add(key, error.to_string());
    }
}
