//! What a guardian does when its owner is killed, and what it leaves alone.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use local_process::{Guardian, Signal};

/// Set when this test binary runs itself as the process that will be killed.
const OWNER: &str = "GUARDIAN_TEST_OWNER";

#[test]
fn a_killed_owner_leaves_nothing_that_it_did_not_release() {
    if std::env::var_os(OWNER).is_some() {
        own_and_wait();
    }
    let mut owner = Command::new(std::env::current_exe().expect("a path"))
        .args(["--exact", "a_killed_owner_leaves_nothing_that_it_did_not_release", "--nocapture"])
        .env(OWNER, "1")
        .stdout(Stdio::piped())
        .spawn()
        .expect("the test binary starts");
    let lines: Vec<String> = BufReader::new(owner.stdout.take().expect("a pipe"))
        .lines()
        .map_while(Result::ok)
        .filter_map(|line| line.split_once("owned:").map(|(_, what)| what.to_owned()))
        .take(4)
        .collect();
    let [kept, stubborn, released, directory] = lines.as_slice() else { panic!("unexpected: {lines:?}") };
    assert!(alive(kept) && alive(stubborn) && alive(released) && Path::new(directory).exists());

    owner.kill().expect("SIGKILL");
    owner.wait().expect("it ended");

    until("the kept process ends", || !alive(kept));
    until("the one that ignores SIGTERM ends too", || !alive(stubborn));
    until("the directory is gone", || !Path::new(directory).exists());
    assert!(alive(released), "a released process is nobody's business");
    local_process::signal(released.parse().expect("a pid"), Signal::SIGKILL).expect("ours");
}

#[test]
fn a_dropped_directory_is_gone_at_once_and_a_dropped_guardian_leaves_no_shell() {
    let guardian = Guardian::start().expect("a shell");
    let directory = guardian.temporary_directory("guardian test ").expect("a directory");
    let path = directory.path().to_path_buf();
    std::fs::write(directory.join("file"), "content").expect("a file");
    drop(directory);
    assert!(!path.exists());
    drop(guardian); // Returns when the shell has ended.
}

/// Owns three processes and a directory, says which, and waits to be killed.
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
    println!("owned:{kept}\nowned:{stubborn}\nowned:{released}\nowned:{}", directory.path().display());
    loop {
        std::thread::park();
    }
}

/// Whether the process runs: a zombie whose parent was killed is soon reaped by init.
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
