//! The program: everything is in the library.

use std::process::ExitCode;

/// Thousands of resting sessions are small objects, made and freed in any order.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    howdah::app::main()
}
