//! How much memory this program and those that it has started hold, and the CPU time that they have used.

use std::collections::BTreeMap;

use serde::Serialize;

/// The processes of one program.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
pub struct Memory {
    /// How many there are.
    pub processes: usize,
    /// Resident memory of all of them, in KiB.
    pub total: u64,
    /// Of the largest, in KiB.
    pub largest: u64,
}

/// Memory by program; empty where there is no `/proc`.
///
/// Pages that processes share (the database's buffers, code) are counted once for each.
#[must_use]
pub fn by_program() -> BTreeMap<String, Memory> {
    let mut memory: BTreeMap<String, Memory> = BTreeMap::new();
    for process in ours() {
        let Some(resident) = process.resident else { continue };
        let program = memory.entry(process.program).or_default();
        program.processes += 1;
        program.total += resident;
        program.largest = program.largest.max(resident);
    }
    memory
}

/// CPU time in seconds by program, of the processes that run; empty where there is no `/proc`.
#[must_use]
pub fn cpu_by_program() -> BTreeMap<String, f64> {
    let mut cpu: BTreeMap<String, f64> = BTreeMap::new();
    for process in ours() {
        *cpu.entry(process.program).or_default() += process.cpu;
    }
    cpu
}

/// A process that runs.
struct Process {
    program: String,
    /// In KiB; `None` when it has ended and nobody has asked how.
    resident: Option<u64>,
    /// In seconds.
    cpu: f64,
}

/// This process and all that descend from it.
#[cfg(target_os = "linux")]
fn ours() -> Vec<Process> {
    let all = procfs::process::all_processes().into_iter().flatten().flatten();
    let all: BTreeMap<i32, _> =
        all.filter_map(|process| Some((process.pid, (process.stat().ok()?, process)))).collect();
    let us = std::process::id().cast_signed();
    let descends = |pid: &i32| {
        let parent = |pid: &i32| all.get(pid).map(|(stat, _)| stat.ppid);
        std::iter::successors(Some(*pid), parent).any(|above| above == us)
    };
    let ticks = procfs::ticks_per_second() as f64;
    let ours = all.iter().filter(|(pid, _)| descends(pid)).map(|(_, (stat, process))| Process {
        program: stat.comm.clone(),
        resident: process.status().ok().and_then(|status| status.vmrss),
        cpu: (stat.utime + stat.stime) as f64 / ticks,
    });
    ours.collect()
}

/// Only Linux says.
#[cfg(not(target_os = "linux"))]
fn ours() -> Vec<Process> {
    Vec::new()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn we_hold_some() {
        let by_program = by_program();
        let is_plausible = |m: &Memory| m.processes > 0 && m.largest > 1000 && m.total >= m.largest;
        assert!(by_program.values().any(is_plausible), "{by_program:?}");
        assert!(by_program.keys().eq(cpu_by_program().keys()), "the same programs");
    }
}
