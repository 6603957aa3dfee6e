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
/// Source: proc(5): `/proc/PID/stat`, `/proc/PID/status`.
#[must_use]
pub fn by_program() -> BTreeMap<String, Memory> {
    let mut memory: BTreeMap<String, Memory> = BTreeMap::new();
    for pid in ours() {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        let resident =
            field("VmRSS:").and_then(|size| size.trim_end_matches(" kB").trim().parse::<u64>().ok());
        if let (Some(name), Some(resident)) = (field("Name:"), resident) {
            let program = memory.entry(name.to_owned()).or_default();
            program.processes += 1;
            program.total += resident;
            program.largest = program.largest.max(resident);
        }
    }
    memory
}

/// CPU time in seconds by program, of the processes that run; empty where there is no `/proc`.
///
/// Source: proc(5), `/proc/PID/stat`: fields 14 and 15, in clock ticks, of which Linux has 100 a second.
#[must_use]
pub fn cpu_by_program() -> BTreeMap<String, f64> {
    let mut cpu: BTreeMap<String, f64> = BTreeMap::new();
    for pid in ours() {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let Some((name, fields)) = stat.rsplit_once(") ") else { continue };
        let name = name.split_once(" (").map_or(name, |(_, name)| name);
        // The first field behind the name is number 3.
        let ticks = fields.split(' ').skip(11).take(2).filter_map(|ticks| ticks.parse::<u32>().ok());
        *cpu.entry(name.to_owned()).or_default() += f64::from(ticks.sum::<u32>()) / 100.0;
    }
    cpu
}

/// This process and all that descend from it.
fn ours() -> Vec<u32> {
    let mut parents = BTreeMap::new();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        if let Some(parent) = parent(pid) {
            parents.insert(pid, parent);
        }
    }
    let us = std::process::id();
    parents.keys().copied().filter(|pid| descends(*pid, us, &parents)).collect()
}

fn parent(pid: u32) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()
}

fn descends(pid: u32, from: u32, parents: &BTreeMap<u32, u32>) -> bool {
    let mut next = Some(&pid);
    while let Some(pid) = next {
        if *pid == from {
            return true;
        }
        next = parents.get(pid);
    }
    false
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
