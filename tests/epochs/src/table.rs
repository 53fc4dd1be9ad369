//! The epochs as a table.

use std::fmt;

use crate::{Behaviour, Row};

/// What came of each epoch: each miner's share of the weights that the chain took, and why it changed.
#[derive(Debug)]
pub struct Table<'a>(pub &'a [Row]);

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>5}", "epoch")?;
        for behaviour in Behaviour::ALL {
            write!(f, " {:>11}", behaviour.name())?;
        }
        writeln!(f)?;
        for row in self.0 {
            write!(f, "{:>5}", row.epoch)?;
            for behaviour in Behaviour::ALL {
                let mark = if behaviour.misbehaves_in(row.epoch) {
                    '*'
                } else {
                    ' '
                };
                write!(f, " {:>9.1} %{mark}", row.share(behaviour) * 100.0)?;
            }
            writeln!(f)?;
            for change in &row.changes {
                writeln!(f, "      {change}")?;
            }
        }
        writeln!(f, "* misbehaves in this epoch")
    }
}
