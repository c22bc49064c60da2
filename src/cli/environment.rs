//! Settings that libraries read from the environment, and only once, before `main`.
//!
//! In: what the command is about to do. Out: the same process, started again with these variables, or nothing when they are
//! set already or this is not Linux. Polars takes its number of threads from the environment; glibc takes from it how much
//! freed memory it keeps, and whether it asks the kernel for large pages. By default each thread keeps its own memory, and a
//! case of a million events peaked at 1,057 MB instead of 586 MB; with large pages the extraction spends a tenth less CPU
//! time, because the kernel hands out its row buffers in pieces of 2 MiB instead of 4 KiB. The library calls that would do
//! the same are unsafe code; replacing the process by itself is not, and costs a millisecond.

/// Says that the process was started again, so that it happens once.
const MARK: &str = "KEYTRAIL_STARTED_AGAIN";

/// What a process is going to do with its memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    /// Rows are gathered in a few large buffers.
    Extraction {
        /// Threads.
        jobs: usize,
    },
    /// Polars runs SQL with this many threads: millions of blocks of all sizes come and go.
    Sql {
        /// Threads.
        jobs: usize,
    },
}

/// Variables and values for `work`. What the user has set is left alone.
fn wanted(work: Work) -> Vec<(&'static str, String)> {
    let settings = match work {
        // Blocks from 4 MiB on are mappings of their own, in large pages; what smaller ones free is kept. The calling thread
        // does little and shares a worker's heap.
        Work::Extraction { jobs } => vec![(
            "GLIBC_TUNABLES",
            format!(
                "glibc.malloc.hugetlb=1:glibc.malloc.mmap_threshold=4194304:glibc.malloc.trim_threshold=4294967296:\
                 glibc.malloc.arena_max={}",
                jobs.max(1)
            ),
        )],
        Work::Sql { jobs } => vec![
            ("POLARS_MAX_THREADS", jobs.to_string()),
            // All threads share two heaps: what one has freed another can use.
            ("MALLOC_ARENA_MAX", "2".to_owned()),
            // 1 MiB: large blocks go back to the system when they are freed.
            ("MALLOC_MMAP_THRESHOLD_", (1 << 20).to_string()),
            // 32 MiB at the top of the heap are kept.
            ("MALLOC_TRIM_THRESHOLD_", (32 << 20).to_string()),
        ],
    };
    settings.into_iter().filter(|(name, _)| std::env::var_os(name).is_none()).collect()
}

/// Starts the process again with the settings for `work`. Returns when that was done before, or cannot be done:
/// then the program works all the same.
#[cfg(target_os = "linux")]
pub(crate) fn start_again(work: Work) {
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
        .envs(wanted(work))
        .env(MARK, "1")
        .exec();
}

/// Elsewhere the variables mean nothing.
#[cfg(not(target_os = "linux"))]
pub(crate) fn start_again(_work: Work) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_follow_the_jobs() {
        assert!(
            wanted(Work::Sql { jobs: 3 }).contains(&("POLARS_MAX_THREADS", "3".to_owned()))
                || std::env::var_os("POLARS_MAX_THREADS").is_some()
        );
    }
}
