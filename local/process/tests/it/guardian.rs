//! The guardian's actions after its owner is killed, and their limits.

use std::io::{BufRead, BufReader, ErrorKind};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use local_process::{Guardian, Signal};

/// Set when this test binary runs itself as the process to be killed.
const OWNER: &str = "GUARDIAN_TEST_OWNER";

#[test]
fn killed_owner_leaves_only_released_resources() {
    if std::env::var_os(OWNER).is_some() {
        own_and_wait();
    }
    let mut owner = Command::new(std::env::current_exe().expect("a path"))
        .args(["--exact", "guardian::killed_owner_leaves_only_released_resources", "--nocapture"])
        .env(OWNER, "1")
        .stdout(Stdio::piped())
        .spawn()
        .expect("the test binary starts");
    let lines: Vec<String> = BufReader::new(owner.stdout.take().expect("a pipe"))
        .lines()
        .map_while(Result::ok)
        .filter_map(|line| line.split_once("owned:").map(|(_, what)| what.to_owned()))
        .take(7)
        .collect();
    let [kept, stubborn, released, member, directory, file, replaced] = lines.as_slice() else {
        panic!("unexpected: {lines:?}")
    };
    assert!([kept, stubborn, released, member].iter().all(|pid| alive(pid)));
    assert!([directory, file, replaced].iter().all(|path| Path::new(path).exists()));

    owner.kill().expect("SIGKILL");
    owner.wait().expect("it ended");

    until("the watched process ends", || !alive(kept));
    until("the one that ignores SIGTERM ends too", || !alive(stubborn));
    until("a group ends with its leader", || !alive(member));
    until("the directory is gone", || !Path::new(directory).exists());
    assert!(!Path::new(file).exists());
    assert_eq!(std::fs::read_to_string(replaced).expect("a file"), "replacement");
    assert!(alive(released), "a released process keeps running");
    local_process::signal(released.parse().expect("a pid"), Signal::SIGKILL).expect("ours");
    std::fs::remove_dir_all(Path::new(replaced).parent().expect("a directory")).expect("removed");
}

#[test]
fn dropped_directory_is_removed_and_dropped_guardian_exits() {
    let guardian = Guardian::start().expect("a shell");
    let directory = guardian.temporary_directory("guardian test ").expect("a directory");
    let path = directory.path().to_path_buf();
    std::fs::write(directory.join("file"), "content").expect("a file");
    drop(directory);
    assert!(!path.exists());
    drop(guardian); // Returns when the shell has ended.
}

#[test]
fn private_file_is_removed_with_its_owner_unless_replaced() {
    let guardian = Guardian::start().expect("a shell");
    let directory = guardian.temporary_directory("guardian-test-").expect("a directory");
    let path = directory.join("a file");
    std::fs::write(&path, "older, readable by all").expect("a file");
    let file = guardian.private_file(&path, b"secret").expect("a file");
    assert_eq!(std::fs::read(&path).expect("a file"), b"secret");
    assert_eq!(std::fs::metadata(&path).expect("a file").permissions().mode() & 0o777, 0o600);
    assert_eq!(std::fs::read_dir(directory.path()).expect("a directory").count(), 1, "no partial file");
    let newer = guardian.private_file(&path, b"newer").expect("a file");
    drop(file);
    assert_eq!(std::fs::read(&path).expect("a file"), b"newer");
    drop(newer);
    assert!(!path.exists());
    let error = guardian.private_file(&directory.join("two\nlines"), b"").expect_err("the shell reads lines");
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert_eq!(std::fs::read_dir(directory.path()).expect("a directory").count(), 0);
}

#[test]
fn dropped_group_ends_and_released_group_continues() {
    let guardian = Guardian::start().expect("a shell");
    let mut leaders = [0, 1].map(|_| {
        Command::new("sh").args(["-c", "sleep 600 & wait"]).process_group(0).spawn().expect("sh starts")
    });
    let [dropped, released] =
        [0, 1].map(|n| guardian.watch_group(leaders[n].id(), Signal::SIGTERM).expect("a guardian"));
    drop(dropped);
    assert!(!leaders[0].wait().expect("it ends").success());
    released.release();
    drop(guardian); // Returns when the shell has ended.
    assert!(leaders[1].try_wait().expect("a status").is_none());
    let group = format!("-{}", leaders[1].id());
    assert!(Command::new("kill").args(["-s", "KILL", "--", &group]).status().expect("kill").success());
    leaders[1].wait().expect("it ends");
}

/// Owns processes, files and a directory, prints them, and waits to be killed.
#[expect(clippy::zombie_processes, reason = "it waits until it is killed; the guardian ends them")]
fn own_and_wait() -> ! {
    let sleeper = |program: &str| {
        Command::new("sh").args(["-c", program]).stdout(Stdio::null()).spawn().expect("sh starts").id()
    };
    let guardian = Guardian::start().expect("a shell");
    let directory = guardian.temporary_directory("guardian-test-").expect("a directory");
    std::fs::write(directory.join("file"), "content").expect("a file");
    let kept = sleeper("exec sleep 600");
    let stubborn = sleeper("trap '' TERM; while :; do sleep 1; done");
    let released = sleeper("exec sleep 600");
    let _kept = guardian.watch_process(kept, Signal::SIGTERM).expect("a guardian");
    let _stubborn = guardian.watch_process(stubborn, Signal::SIGTERM).expect("a guardian");
    drop(guardian.watch_process(released, Signal::SIGTERM).expect("a guardian"));
    // The group is the leader and the member started by the leader.
    let mut leader = Command::new("sh")
        .args(["-c", "sleep 600 & echo $!; wait"])
        .stdout(Stdio::piped())
        .process_group(0)
        .spawn()
        .expect("sh starts");
    let mut member = String::new();
    BufReader::new(leader.stdout.take().expect("a pipe")).read_line(&mut member).expect("a line");
    let _group = guardian.watch_group(leader.id(), Signal::SIGTERM).expect("a guardian");
    let files = tempfile::tempdir().expect("a directory").keep();
    let [file, replaced] = ["a file", "replaced"].map(|name| files.join(name));
    let _files = [&file, &replaced].map(|path| guardian.private_file(path, b"secret").expect("a file"));
    std::fs::write(files.join("newer"), "replacement").expect("a file");
    std::fs::rename(files.join("newer"), &replaced).expect("renamed");
    for what in [kept, stubborn, released] {
        println!("owned:{what}");
    }
    println!("owned:{}", member.trim());
    for path in [directory.path(), &file, &replaced] {
        println!("owned:{}", path.display());
    }
    loop {
        std::thread::park();
    }
}

/// Whether the process runs: a zombie of a killed parent is soon reaped by init.
fn alive(pid: &str) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
        || (!Path::new("/proc/self").exists()
            && Command::new("kill").args(["-0", pid]).status().is_ok_and(|status| status.success()))
}

fn until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < deadline, "{what}: not within 20 s");
        std::thread::yield_now();
    }
}
