//! What is done to a machine from outside while it runs, by QEMU's machine protocol (QMP).

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Say commands in JSON to the QEMU that listens here, or will within a minute; each is done when this returns.
pub(crate) fn tell(socket: &Path, commands: &[&str]) {
    let mut qmp = connect(socket);
    let mut lines = BufReader::new(qmp.try_clone().unwrap()).lines().map(Result::unwrap);
    assert!(lines.next().unwrap().contains("QMP"));
    for command in [r#"{"execute":"qmp_capabilities"}"#].iter().chain(commands) {
        writeln!(qmp, "{command}").unwrap();
        // Between an order and its answer QEMU may tell of events.
        let answer = lines.find(|line| !line.contains("\"event\"")).unwrap();
        assert!(answer.contains("\"return\""), "{command}: {answer}");
    }
}

fn connect(socket: &Path) -> UnixStream {
    let start = Instant::now();
    loop {
        match UnixStream::connect(socket) {
            Ok(stream) => return stream,
            Err(error) => assert!(start.elapsed() < Duration::from_secs(60), "{}: {error}", socket.display()),
        }
        sleep(Duration::from_millis(50));
    }
}
