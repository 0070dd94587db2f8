//! What one execution may cost.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::time::{ClockId, clock_gettime};

/// Bytes of memory, beyond what the process has before the first one.
pub const MEMORY: u64 = 250 << 20;
/// Time of the processor: a machine that has other things to do as well makes nothing slower by it.
pub const TIME: Duration = Duration::from_secs(10);
/// So many times as long by the clock, and it waits for what does not come.
const WAITING: u32 = 12;

/// The exit code of a process in which something panicked, on whatever thread.
pub const PANICKED: i32 = 101;
/// The exit code of a process that was given up.
pub const TOO_LONG: i32 = 102;

/// Limits this process: memory that it does not get aborts it, and so does the first panic, even where it would be
/// caught.
///
/// # Errors
/// Where the kernel does not tell or take limits.
pub fn impose() -> io::Result<()> {
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        print(panic);
        std::process::exit(PANICKED);
    }));
    limit(Resource::Core, 0)?;
    limit(Resource::Data, data_of_this_process()?.saturating_add(MEMORY))
}

fn limit(resource: Resource, to: u64) -> io::Result<()> {
    Ok(setrlimit(resource, Rlimit { current: Some(to), ..getrlimit(resource) })?)
}

/// Private memory that can be written, as `RLIMIT_DATA` counts it: what C libraries take is in it too.
fn data_of_this_process() -> io::Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let kibibytes = status.lines().find_map(|line| line.strip_prefix("VmData:")?.split_whitespace().next());
    let kibibytes: Option<u64> = kibibytes.and_then(|number| number.parse().ok());
    kibibytes
        .map(|kibibytes| kibibytes << 10)
        .ok_or_else(|| io::Error::other("/proc/self/status has no VmData"))
}

/// Ends the process if an execution goes on for too long.
#[derive(Clone, Debug, Default)]
pub struct Watch {
    /// When the execution began, in milliseconds, by each of [`CLOCKS`].
    started: Arc<[AtomicU64; 2]>,
}

/// What an execution is measured by: the time that this process had, and the time of day.
const CLOCKS: [ClockId; 2] = [ClockId::ProcessCPUTime, ClockId::Monotonic];

fn milliseconds(clock: ClockId) -> u64 {
    Duration::try_from(clock_gettime(clock)).map_or(0, |time| time.as_millis() as u64)
}

impl Watch {
    /// Looks from now on.
    pub fn start(allowed: Duration) -> Self {
        let watch = Self::default();
        watch.next();
        let own = watch.clone();
        std::thread::spawn(move || {
            loop {
                std::thread::sleep(Duration::from_millis(50));
                let [used, passed] = own.elapsed();
                if used > allowed || passed > allowed * WAITING {
                    eprintln!("more than {allowed:?}");
                    std::process::exit(TOO_LONG);
                }
            }
        });
        watch
    }

    /// The next execution begins.
    pub fn next(&self) {
        for (started, clock) in self.started.iter().zip(CLOCKS) {
            started.store(milliseconds(clock), Ordering::Relaxed);
        }
    }

    fn elapsed(&self) -> [Duration; 2] {
        std::array::from_fn(|clock| {
            let started = self.started[clock].load(Ordering::Relaxed);
            Duration::from_millis(milliseconds(CLOCKS[clock]).saturating_sub(started))
        })
    }
}
