//! The query library as a command uses it.
//!
//! In: `--queries`, `--set`, `--home-account`. Out: views and findings of a case, or the faults of the library, all of them.
