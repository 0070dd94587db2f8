//! A machine that runs while a test talks to it, with all that its console has shown.

use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{sleep, spawn};
use std::time::{Duration, Instant};

use super::lab::run;

/// Between two looks at what is waited for.
const TICK: Duration = Duration::from_millis(100);

/// Its `vmimage run`, which is ended when this is dropped, and QEMU with it.
pub(super) struct Watched {
    process: Mutex<Child>,
    console: Arc<Mutex<String>>,
    patience: Duration,
}

impl Watched {
    /// What `command` runs. Nothing that is waited for may take longer than `patience`.
    pub(super) fn start(mut command: Command, patience: Duration) -> Self {
        let mut process = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let console = Arc::new(Mutex::new(String::new()));
        let (mut output, text) = (process.stdout.take().unwrap(), console.clone());
        spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(length @ 1..) = output.read(&mut bytes) {
                text.lock().unwrap().push_str(&String::from_utf8_lossy(&bytes[..length]));
            }
        });
        Self { process: Mutex::new(process), console, patience }
    }

    pub(super) fn console(&self) -> String {
        self.console.lock().unwrap().clone()
    }

    /// Try until there is an answer, while the machine runs.
    #[track_caller]
    pub(super) fn wait<T>(&self, what: &str, mut attempt: impl FnMut() -> Option<T>) -> T {
        let start = Instant::now();
        loop {
            if let Some(answer) = attempt() {
                return answer;
            }
            let (ended, waited) = (self.process.lock().unwrap().try_wait().unwrap(), start.elapsed());
            assert!(
                ended.is_none() && waited < self.patience,
                "{what}: {ended:?} after {waited:?}:\n{}",
                self.console()
            );
            sleep(TICK);
        }
    }

    /// How it has ended, which it does by itself.
    #[track_caller]
    pub(super) fn end(&self) -> Option<i32> {
        let start = Instant::now();
        loop {
            if let Some(status) = self.process.lock().unwrap().try_wait().unwrap() {
                return status.code();
            }
            assert!(start.elapsed() < self.patience, "it does not end:\n{}", self.console());
            sleep(TICK);
        }
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        // After a test that has failed, too.
        let process = self.process.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Ok(None) = process.try_wait() {
            // The program that runs QEMU ends it.
            run(Command::new("kill").arg(process.id().to_string()));
            let _ = process.wait();
        }
    }
}
