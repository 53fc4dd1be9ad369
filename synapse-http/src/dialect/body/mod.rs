//! A request's JSON body, read without copying it: levels, known fields, edits.

mod field;
pub(in crate::dialect) mod json;
mod level;
mod splice;

pub(in crate::dialect) use self::{
    field::{Field, conflict, string},
    level::{Level, elements},
    splice::Splice,
};
