//! A local engine, started, watched and started again.
