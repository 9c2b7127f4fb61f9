//! The command starts and says who it is. With this test Cargo builds the command together with all tests, with the same
//! features: building it apart would compile a third of the tree twice.

use std::process::Command;

#[test]
fn the_command_says_its_version() {
    let output = Command::new(env!("CARGO_BIN_EXE_backlot"))
        .arg("--version")
        .output()
        .expect("it starts");
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(said.trim(), format!("backlot {}", env!("CARGO_PKG_VERSION")));
}
