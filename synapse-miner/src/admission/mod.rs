//! How many requests an engine is given at once, learned from how long they take.
