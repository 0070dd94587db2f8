//! What a microVM of the tests runs: it tells, a fact a line, what only the program of an image can know, does what its first
//! argument says, and ends with the last one as its exit status. Standard library and four functions of C only.

use std::fs;
use std::sync::atomic::{AtomicI32, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

unsafe extern "C" {
    fn fork() -> i32;
    fn waitpid(process: i32, status: *mut i32, options: i32) -> i32;
    fn _exit(status: i32) -> !;
    fn signal(number: i32, handler: extern "C" fn(i32)) -> usize;
}

static CAME: AtomicI32 = AtomicI32::new(0);

extern "C" fn note(number: i32) {
    CAME.store(number, Ordering::SeqCst);
}

fn main() {
    let words: Vec<String> = std::env::args().collect();
    facts(&words);
    match words[1].as_str() {
        "orphans" => orphans(words[2].parse().expect("how many")),
        "signal" => until_signal(words[2].parse().expect("how many signals there are")),
        _ => {}
    }
    fact("end", 1);
    std::process::exit(words.last().and_then(|word| word.parse().ok()).expect("the status is the last argument"));
}

fn fact(name: &str, value: impl std::fmt::Display) {
    println!("report:{name}={value}");
}

fn facts(words: &[String]) {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let status = read("/proc/self/status");
    let of_status = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        line.split_whitespace().next().unwrap_or_default().to_owned()
    };
    let cmdline = read("/proc/cmdline");
    let token = cmdline.split_whitespace().find_map(|word| word.strip_prefix("vmimage.test="));
    let mounts = read("/proc/mounts");
    let mount = |at: &str| {
        let found = mounts.lines().rfind(|line| line.split(' ').nth(1) == Some(at));
        found.map(|line| line.split(' ').nth(2).unwrap_or_default().to_owned()).unwrap_or_default()
    };
    fact("token", token.unwrap_or_default());
    fact("words", format!("{words:?}"));
    fact("odd", format!("{:?}", std::env::var("ODD")));
    fact("empty", format!("{:?}", std::env::var("EMPTY")));
    fact("path", std::env::var("PATH").unwrap_or_default());
    fact("home", std::env::var("HOME").unwrap_or_default());
    fact("directory", std::env::current_dir().map(|path| path.display().to_string()).unwrap_or_default());
    fact("uid", of_status("Uid:"));
    fact("gid", of_status("Gid:"));
    fact("parent", of_status("PPid:"));
    fact("bounding", of_status("CapBnd:"));
    fact("effective", of_status("CapEff:"));
    fact("hostname", read("/proc/sys/kernel/hostname").trim());
    fact("root", mount("/"));
    fact("mounts", ["/proc", "/sys", "/dev", "/dev/pts", "/dev/shm", "/dev/mqueue", "/sys/fs/cgroup"].map(mount).join(" "));
    fact("cards", fs::read_dir("/sys/class/net").map_or(0, |cards| cards.count()));
    fact("writable", fs::write("/srv/written", "by the machine").is_ok());
    let year = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_secs() / 31_556_952;
    fact("year", 1970 + year);
}

/// Leaves so many processes without a parent, which end as they like; then, what is left of them after a while.
fn orphans(count: u32) {
    for _ in 0..count {
        // SAFETY: there is one thread, and the children do no more than end.
        unsafe {
            match fork() {
                0 => {
                    fork();
                    _exit(0)
                }
                child => {
                    waitpid(child, std::ptr::null_mut(), 0);
                }
            }
        }
    }
    let patience = Instant::now() + Duration::from_secs(60);
    while zombies() > 0 && Instant::now() < patience {
        sleep(Duration::from_millis(100));
    }
    fact("orphans", count);
    fact("zombies", zombies());
}

fn zombies() -> usize {
    let states = fs::read_dir("/proc").into_iter().flatten().flatten().filter_map(|entry| {
        let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
        Some(stat.rsplit_once(") ")?.1.starts_with('Z'))
    });
    states.filter(|is_zombie| *is_zombie).count()
}

/// Works until a signal comes, and tells which.
fn until_signal(signals: i32) {
    for number in 1..=signals {
        // SAFETY: the handler does nothing but store a number. Two signals have none, which is no error here.
        unsafe { signal(number, note) };
    }
    fact("working", 1);
    while CAME.load(Ordering::SeqCst) == 0 {
        sleep(Duration::from_millis(20));
    }
    fact("signal", CAME.load(Ordering::SeqCst));
}
