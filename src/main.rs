//! The binary: arguments in, exit code out.
//!
//! Its allocator is mimalloc, because it gives freed memory back to the system: SQL engines allocate and free blocks of all
//! sizes on many threads, and what the usual allocator kept of them grew with the case.

mod cli;

use mimalloc::MiMalloc;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    cli::run()
}
