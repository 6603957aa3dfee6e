//! What is logged of a panic, by a process of its own: the hook is the whole process's.

use std::process::Command;

use serde_json::Value;

const IN_CHILD: &str = "PANIC_IN_CHILD";

#[test]
fn a_panic_is_one_line_of_json_without_its_text() {
    if std::env::var_os(IN_CHILD).is_some() {
        shared::logging::init("child");
        let private = "a private text";
        let _ = std::panic::catch_unwind(|| panic!("{private}"));
        let _ = std::thread::spawn(|| panic!("a private text")).join();
        return;
    }
    let this = std::env::current_exe().expect("a path");
    let name = "panic::a_panic_is_one_line_of_json_without_its_text";
    let child = Command::new(this).args(["--exact", name, "--nocapture"]).env(IN_CHILD, "1").output();
    let child = child.expect("it runs");
    assert!(child.status.success());
    let said = [child.stdout, child.stderr].map(|said| String::from_utf8(said).expect("text"));
    assert!(!said.concat().contains("private"), "{said:?}");
    let logged = said[0].lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let panics: Vec<_> = logged.filter(|line| line["message"] == "panicked").collect();
    let [first, second] = &panics[..] else { panic!("{said:?}") };
    for panic in [first, second] {
        assert_eq!(panic["level"], "ERROR");
        assert!(panic["location"].as_str().is_some_and(|place| place.contains("panic.rs:")), "{panic}");
    }
    assert!(said[1].is_empty() || !said[1].contains("panicked"), "{said:?}");
}
