//! Resource usage of another process. Measured on Linux only, as on Lambda.

use std::time::Duration;

/// Returns the CPU time of a process, with a resolution of nanoseconds. Source: clock_getcpuclockid(3).
///
/// # Errors
/// When the process does not exist.
#[cfg(target_os = "linux")]
pub fn cpu(pid: u32) -> anyhow::Result<Duration> {
    use nix::time::{ClockId, clock_gettime};
    let clock = ClockId::pid_cpu_clock_id(nix::unistd::Pid::from_raw(i32::try_from(pid)?))?;
    Ok(clock_gettime(clock)?.into())
}

/// Returns the peak resident memory of a process, in bytes.
///
/// # Errors
/// When the process does not exist.
#[cfg(target_os = "linux")]
pub fn peak_memory(pid: u32) -> anyhow::Result<u64> {
    use anyhow::Context as _;
    let status = procfs::process::Process::new(i32::try_from(pid)?)?.status()?;
    Ok(status.vmhwm.context("the process has ended")? * 1024)
}

/// Unsupported.
///
/// # Errors
/// Always.
#[cfg(not(target_os = "linux"))]
pub fn cpu(_: u32) -> anyhow::Result<Duration> {
    anyhow::bail!("bench needs Linux")
}

/// Unsupported.
///
/// # Errors
/// Always.
#[cfg(not(target_os = "linux"))]
pub fn peak_memory(_: u32) -> anyhow::Result<u64> {
    anyhow::bail!("bench needs Linux")
}
