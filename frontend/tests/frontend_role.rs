//! The gateway role as a process, started by somebody who is not BuildKit.

use std::process::{Command, Stdio};

#[test]
fn without_a_daemon_it_says_who_starts_it() {
    let vmimage = Command::new(env!("CARGO_BIN_EXE_vmimage")).arg("frontend").stdin(Stdio::null()).output();
    let output = vmimage.expect("the program was built");
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(70), "{text}");
    assert!(text.starts_with("error: stdin and stdout are not pipes to a BuildKit daemon: "), "{text}");
    assert!(text.contains("\nhint: "), "{text}");
    assert!(output.stdout.is_empty(), "stdout belongs to the protocol");
}

#[test]
fn a_closed_pipe_is_not_waited_for() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vmimage"));
    let mut child = command
        .arg("frontend")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program was built");
    drop(child.stdin.take());
    let output = child.wait_with_output().expect("the program ends");
    assert_eq!(output.status.code(), Some(70));
    assert!(String::from_utf8_lossy(&output.stderr).starts_with("error: "));
}
