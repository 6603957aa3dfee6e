//! Pins the measuring and the measured process to separate cores, so that no figure depends on the scheduler.
//! Source: sched_setaffinity(2).

/// Pins this thread, and the processes it starts, to the first core. Without effect on a single core.
#[cfg(target_os = "linux")]
pub fn keep_to_first() {
    use_only(0, 0);
}

/// Pins a newly started process to the last core.
#[cfg(target_os = "linux")]
pub fn move_to_last(pid: u32) {
    if let Ok(pid) = i32::try_from(pid) {
        use_only(pid, count() - 1);
    }
}

#[cfg(target_os = "linux")]
fn count() -> usize {
    static COUNT: std::sync::OnceLock<usize> = std::sync::OnceLock::new();
    // Queried before the first thread is pinned: it counts the available cores.
    *COUNT.get_or_init(|| std::thread::available_parallelism().map_or(1, usize::from))
}

#[cfg(target_os = "linux")]
fn use_only(pid: i32, core: usize) {
    use nix::sched::{CpuSet, sched_setaffinity};
    if count() < 2 {
        return;
    }
    let mut cores = CpuSet::new();
    let set = cores.set(core).and_then(|()| sched_setaffinity(nix::unistd::Pid::from_raw(pid), &cores));
    if let Err(error) = set {
        tracing::warn!(%error, core, "the core cannot be pinned: times may depend on other processes");
    }
}

/// Does nothing: only Linux supports pinning.
#[cfg(not(target_os = "linux"))]
pub fn keep_to_first() {}

/// Does nothing: only Linux supports pinning.
#[cfg(not(target_os = "linux"))]
pub fn move_to_last(_: u32) {}
