//! CPU time that another process has used.

use std::time::Duration;

/// CPU time of a process, in nanoseconds' resolution. Source: clock_getcpuclockid(3).
///
/// # Errors
/// When there is no such process.
#[cfg(target_os = "linux")]
pub fn time(pid: u32) -> anyhow::Result<Duration> {
    use nix::time::{ClockId, clock_gettime};
    let clock = ClockId::pid_cpu_clock_id(nix::unistd::Pid::from_raw(i32::try_from(pid)?))?;
    Ok(clock_gettime(clock)?.into())
}

/// CPU time of a process.
///
/// # Errors
/// Always: it is measured on Linux, as Lambda's processes run there.
#[cfg(not(target_os = "linux"))]
pub fn time(_: u32) -> anyhow::Result<Duration> {
    anyhow::bail!("bench needs Linux")
}
