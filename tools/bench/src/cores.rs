//! What measures and what is measured each have a core, so that no figure depends on where the scheduler puts them.
//! Source: sched_setaffinity(2).

/// Keeps this thread, and what it starts, on the first core. Without effect where there is only one.
#[cfg(target_os = "linux")]
pub fn keep_to_first() {
    use_only(0, 0);
}

/// Moves a process that has just been started to the last core.
#[cfg(target_os = "linux")]
pub fn move_to_last(pid: u32) {
    if let Ok(pid) = i32::try_from(pid) {
        use_only(pid, count() - 1);
    }
}

#[cfg(target_os = "linux")]
fn count() -> usize {
    static COUNT: std::sync::OnceLock<usize> = std::sync::OnceLock::new();
    // Asked before the first thread is kept to a core: it counts those that may be used.
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
        tracing::warn!(%error, core, "no core of its own: times may depend on what else runs");
    }
}

/// Nothing: it is Linux that can be told.
#[cfg(not(target_os = "linux"))]
pub fn keep_to_first() {}

/// Nothing: it is Linux that can be told.
#[cfg(not(target_os = "linux"))]
pub fn move_to_last(_: u32) {}
