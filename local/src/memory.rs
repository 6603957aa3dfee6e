//! Memory and CPU time of this process and its descendants.

use std::collections::BTreeMap;

use serde::Serialize;

/// The processes of one program.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
pub struct Memory {
    /// The number of processes.
    pub processes: usize,
    /// Resident memory of all processes, in KiB.
    pub total: u64,
    /// Resident memory of the largest process, in KiB.
    pub largest: u64,
}

/// Returns memory by program; empty where there is no `/proc`.
///
/// Pages that processes share (the database's buffers, code) are counted once for each process.
#[must_use]
pub fn by_program() -> BTreeMap<String, Memory> {
    let mut memory: BTreeMap<String, Memory> = BTreeMap::new();
    for process in own_processes() {
        let Some(resident) = process.resident else { continue };
        let program = memory.entry(process.program).or_default();
        program.processes += 1;
        program.total += resident;
        program.largest = program.largest.max(resident);
    }
    memory
}

/// Returns the CPU time in seconds by program, of running processes; empty where there is no `/proc`.
#[must_use]
pub fn cpu_by_program() -> BTreeMap<String, f64> {
    let mut cpu: BTreeMap<String, f64> = BTreeMap::new();
    for process in own_processes() {
        *cpu.entry(process.program).or_default() += process.cpu;
    }
    cpu
}

/// A running process.
struct Process {
    program: String,
    /// In KiB; `None` for a zombie.
    resident: Option<u64>,
    /// In seconds.
    cpu: f64,
}

/// Returns this process and its descendants.
#[cfg(target_os = "linux")]
fn own_processes() -> Vec<Process> {
    let all = procfs::process::all_processes().into_iter().flatten().flatten();
    let all: BTreeMap<i32, _> =
        all.filter_map(|process| Some((process.pid, (process.stat().ok()?, process)))).collect();
    let own = std::process::id().cast_signed();
    let descends = |pid: &i32| {
        let parent = |pid: &i32| all.get(pid).map(|(stat, _)| stat.ppid);
        std::iter::successors(Some(*pid), parent).any(|above| above == own)
    };
    let ticks = procfs::ticks_per_second() as f64;
    let processes = all.iter().filter(|(pid, _)| descends(pid)).map(|(_, (stat, process))| Process {
        program: stat.comm.clone(),
        resident: process.status().ok().and_then(|status| status.vmrss),
        cpu: (stat.utime + stat.stime) as f64 / ticks,
    });
    processes.collect()
}

/// Returns nothing: only Linux has this `/proc`.
#[cfg(not(target_os = "linux"))]
fn own_processes() -> Vec<Process> {
    Vec::new()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_memory_and_cpu_time() {
        let by_program = by_program();
        let is_plausible = |m: &Memory| m.processes > 0 && m.largest > 1000 && m.total >= m.largest;
        assert!(by_program.values().any(is_plausible), "{by_program:?}");
        assert!(by_program.keys().eq(cpu_by_program().keys()), "the same programs");
    }
}
