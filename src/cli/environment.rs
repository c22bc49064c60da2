//! Settings that libraries read from the environment, and only once, before `main`.
//!
//! In: the number of threads of a command that runs SQL. Out: the same process, started again with these variables, or
//! nothing when they are set already or this is not Linux. Polars takes its number of threads from the environment; mimalloc
//! takes from it whether freed memory goes back to the system at once. The library calls that would do the same are unsafe
//! code; replacing the process by itself is not, and costs a millisecond.

/// Says that the process was started again, so that it happens once.
const MARK: &str = "KEYTRAIL_STARTED_AGAIN";

/// Variables and values for `jobs` threads that run SQL. What the user has set is left alone.
fn wanted(jobs: usize) -> Vec<(&'static str, String)> {
    let settings = [
        ("POLARS_MAX_THREADS", jobs.to_string()),
        // Freed pages go back at once: a query takes hundreds of MiB for seconds, and the next one takes other sizes.
        ("MIMALLOC_PURGE_DELAY", "0".to_owned()),
        ("MIMALLOC_PURGE_EXTEND_DELAY", "0".to_owned()),
        // What was never used is not taken either.
        ("MIMALLOC_ARENA_EAGER_COMMIT", "0".to_owned()),
        // A thread looks ten times as often for what other threads have freed of its memory: nobody else gives that back.
        ("MIMALLOC_GENERIC_COLLECT", "1000".to_owned()),
    ];
    settings.into_iter().filter(|(name, _)| std::env::var_os(name).is_none()).collect()
}

/// Starts the process again with the settings for `jobs` threads that run SQL. Returns when that was done before, or cannot be done:
/// then the program works all the same.
#[cfg(target_os = "linux")]
pub(crate) fn start_again(jobs: usize) {
    use std::os::unix::process::CommandExt;
    if std::env::var_os(MARK).is_some() {
        return;
    }
    let mut arguments = std::env::args_os();
    let name = arguments.next().unwrap_or_default();
    // On success this does not return; the error is that of a system without /proc, where nothing is lost but memory.
    let _ = std::process::Command::new("/proc/self/exe")
        .arg0(name)
        .args(arguments)
        .envs(wanted(jobs))
        .env(MARK, "1")
        .exec();
}

/// Elsewhere the variables mean nothing.
#[cfg(not(target_os = "linux"))]
pub(crate) fn start_again(_jobs: usize) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_follow_the_jobs() {
        assert!(
            wanted(3).contains(&("POLARS_MAX_THREADS", "3".to_owned()))
                || std::env::var_os("POLARS_MAX_THREADS").is_some()
        );
    }
}
