//! What another process has used. It is measured on Linux, as Lambda's processes run there.

use std::time::Duration;

/// CPU time of a process, in nanoseconds' resolution. Source: clock_getcpuclockid(3).
///
/// # Errors
/// When there is no such process.
#[cfg(target_os = "linux")]
pub fn cpu(pid: u32) -> anyhow::Result<Duration> {
    use nix::time::{ClockId, clock_gettime};
    let clock = ClockId::pid_cpu_clock_id(nix::unistd::Pid::from_raw(i32::try_from(pid)?))?;
    Ok(clock_gettime(clock)?.into())
}

/// The most memory that a process has had resident, in bytes.
///
/// # Errors
/// When there is no such process.
#[cfg(target_os = "linux")]
pub fn peak_memory(pid: u32) -> anyhow::Result<u64> {
    use anyhow::Context as _;
    let status = procfs::process::Process::new(i32::try_from(pid)?)?.status()?;
    Ok(status.vmhwm.context("it has ended")? * 1024)
}

/// CPU time of a process.
///
/// # Errors
/// Always.
#[cfg(not(target_os = "linux"))]
pub fn cpu(_: u32) -> anyhow::Result<Duration> {
    anyhow::bail!("bench needs Linux")
}

/// The most memory that a process has had resident.
///
/// # Errors
/// Always.
#[cfg(not(target_os = "linux"))]
pub fn peak_memory(_: u32) -> anyhow::Result<u64> {
    anyhow::bail!("bench needs Linux")
}
