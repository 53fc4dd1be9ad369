//! A subnet with six miners, of which one is honest, over real HTTP, real signatures and a real chain. What the miners
//! answer is generated text, and how they fail is scripted: they only inject faults.

mod engine;
mod miners;
mod table;
mod users;
mod world;

pub use self::{
    engine::{Behaviour, Engine},
    table::Table,
    world::{Epochs, Row, run},
};
