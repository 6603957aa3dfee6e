//! The log line of a panic, in a process of its own, because the hook is global to the process.

use std::process::Command;

use serde_json::Value;

const IN_CHILD: &str = "PANIC_IN_CHILD";

#[test]
fn a_panic_is_one_line_of_json_without_its_message() {
    if std::env::var_os(IN_CHILD).is_some() {
        shared::lambda::logging::init("child");
        let private = "a private message";
        let _ = std::panic::catch_unwind(|| panic!("{private}"));
        let _ = std::thread::spawn(|| panic!("a private message")).join();
        return;
    }
    let this = std::env::current_exe().expect("a path");
    let name = "panic::a_panic_is_one_line_of_json_without_its_message";
    let child = Command::new(this).args(["--exact", name, "--nocapture"]).env(IN_CHILD, "1").output();
    let child = child.expect("it runs");
    assert!(child.status.success());
    let output = [child.stdout, child.stderr].map(|bytes| String::from_utf8(bytes).expect("UTF-8"));
    assert!(!output.concat().contains("private"), "{output:?}");
    let logged = output[0].lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let panics: Vec<_> = logged.filter(|line| line["message"] == "panicked").collect();
    let [first, second] = &panics[..] else { panic!("{output:?}") };
    for panic in [first, second] {
        assert_eq!(panic["level"], "ERROR");
        assert!(panic["location"].as_str().is_some_and(|place| place.contains("panic.rs:")), "{panic}");
    }
    assert!(output[1].is_empty() || !output[1].contains("panicked"), "{output:?}");
}
