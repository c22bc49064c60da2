//! The thread that statements are planned on.
//!
//! In: work that calls Polars. Out: its result, or an error where Polars panicked. Polars walks plans recursively and needs more
//! stack than a main thread has; and what goes wrong in one statement must not end the others.

use crate::error::{Error, Result};
use polars::prelude::PolarsResult;

/// The stack that Polars gets. It walks plans recursively, and a chain of thirty CTEs is deep: an unoptimised build needs
/// more than the 8 MiB of a main thread for some views. It is reserved, not used.
const STACK: usize = 256 << 20;

thread_local! {
    /// This thread has a stack that is large enough.
    static HAS_STACK: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

/// Runs `work` on a thread whose stack is large enough for all statements in it. Without this each call of the engine makes a
/// thread of its own, of which a case takes two thousand.
///
/// # Errors
/// When there can be no thread.
pub fn with_large_stack<T: Send>(work: impl FnOnce() -> T + Send) -> std::io::Result<T> {
    if HAS_STACK.get() {
        return Ok(work());
    }
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("sql".to_owned()).stack_size(STACK);
        let thread = thread.spawn_scoped(scope, || {
            HAS_STACK.set(true);
            work()
        })?;
        Ok(thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })
}

/// Runs `work` on a thread with a large stack. A panic inside Polars becomes an error of the query: it must not end a whole
/// report for one rule.
pub(super) fn guarded<T: Send>(query: &str, work: impl FnOnce() -> PolarsResult<T> + Send) -> Result<T> {
    let failed = |message: String| Error::Query { query: query.to_owned(), line: 0, message };
    let done = with_large_stack(|| std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)));
    match done.map_err(|error| failed(format!("no thread for the SQL engine: {error}")))? {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(failed(format!("the SQL engine: {error}"))),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
            Err(failed(format!("the SQL engine stopped: {}", text.unwrap_or("no reason given"))))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use polars::prelude::polars_err;

    fn deep(depth: u64) -> u64 {
        let filling = std::hint::black_box([depth; 512]);
        if depth == 0 { filling[0] } else { deep(depth - 1) + std::hint::black_box(filling)[511] - depth }
    }

    #[test]
    fn work_has_a_large_stack_on_one_thread() {
        let (outer, inner) = with_large_stack(|| {
            // 4 KiB for each step: twice what a main thread has.
            let result = guarded("q", || Ok((std::thread::current().id(), deep(4_000))));
            (std::thread::current().id(), result)
        })
        .unwrap();
        let (inner, sum) = inner.unwrap();
        assert_eq!((outer, sum), (inner, 0));
        assert_ne!(outer, std::thread::current().id());
        assert_eq!(guarded("q", || Ok(deep(4_000))).unwrap(), 0, "without the wrapper, too");
    }

    #[test]
    fn a_panic_and_an_error_are_errors_of_the_query_and_the_next_one_runs() {
        let all = || {
            let panicked = guarded("first", || -> PolarsResult<()> { std::panic::panic_any("at column 7".to_owned()) });
            let failed = guarded("second", || -> PolarsResult<()> { Err(polars_err!(ComputeError: "no such thing")) });
            [panicked, failed].map(|result| result.unwrap_err().to_string())
        };
        for texts in [all(), with_large_stack(all).unwrap()] {
            assert!(texts[0].contains("first") && texts[0].contains("at column 7"), "{texts:?}");
            assert!(texts[1].contains("second") && texts[1].contains("no such thing"), "{texts:?}");
        }
        assert_eq!(guarded("third", || Ok(7)).unwrap(), 7);
    }
}
