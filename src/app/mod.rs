//! Where everything is put together (floor 6): subcommands, workers, listeners, signals, the way down.
//!
//! The only room that knows every other; `demo` gets what it needs of it as a function.

mod accept;
mod cache;
mod cli;
mod commands;
mod console;
mod ddl;
mod doctor;
mod house;
mod logging;
mod metrics;
mod page;
mod run;
mod workers;

pub use cli::main;
