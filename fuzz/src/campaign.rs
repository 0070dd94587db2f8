//! Inputs for targets, one worker at a time for each, as long as was asked for.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::finding::{Finding, again, fault};
use crate::limits;
use crate::worker::{Note, Task};
use crate::{Inputs, Target};

/// A target with so many faults has to be mended first.
const FAULTS: usize = 8;

/// How long, how often and where.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Seconds for each target
    #[arg(long, env = "FUZZ_S", default_value_t = 60)]
    pub seconds: u64,
    /// Executions of each target, however long they take
    #[arg(long, env = "FUZZ_N")]
    pub executions: Option<u64>,
    /// The random seed; another one each time if it is not given
    #[arg(long, env = "FUZZ_SEED")]
    pub seed: Option<u64>,
    /// Targets side by side
    #[arg(short, long, env = "FUZZ_J", default_value_t = 1)]
    pub jobs: usize,
    /// Milliseconds for one execution
    #[arg(long, default_value_t = limits::TIME.as_millis() as u64)]
    pub allowed: u64,
    /// Where inputs that do harm are kept
    #[arg(long, default_value = "target/fuzz-findings")]
    pub keep: PathBuf,
}

/// Runs the targets; whether nothing was found.
///
/// # Errors
/// Nothing that an input is to blame for: processes that cannot be started, files that cannot be written.
pub fn run(targets: &[&'static Target], options: &Options) -> io::Result<bool> {
    let seed = options.seed.unwrap_or_else(|| fastrand::u64(..u64::from(u32::MAX)));
    println!("seed {seed}: the same inputs again with FUZZ_SEED={seed}");
    let jobs = Mutex::new(targets.iter());
    let (is_clean, failed) = (AtomicBool::new(true), Mutex::new(None));
    std::thread::scope(|scope| {
        for _ in 0..options.jobs.clamp(1, targets.len().max(1)) {
            scope.spawn(|| {
                let next = || jobs.lock().unwrap_or_else(PoisonError::into_inner).next();
                while let Some(target) = next() {
                    match Campaign::new(target, seed, options).and_then(Campaign::run) {
                        Ok(found) => drop(is_clean.fetch_and(!found, Ordering::Relaxed)),
                        Err(error) => *failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(error),
                    }
                }
            });
        }
    });
    match failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some(error) => Err(error),
        None => Ok(is_clean.into_inner()),
    }
}

/// One target.
struct Campaign<'a> {
    target: &'static Target,
    options: &'a Options,
    inputs: Inputs,
    /// For the worker's own files, which a worker that is ended leaves behind.
    scratch: tempfile::TempDir,
    task: Task,
    began: Instant,
    known: BTreeSet<String>,
    accepted: u64,
}

impl<'a> Campaign<'a> {
    fn new(target: &'static Target, seed: u64, options: &'a Options) -> io::Result<Self> {
        let scratch = tempfile::tempdir()?;
        let task = Task {
            target: target.name.to_owned(),
            seed,
            from: 0,
            to: options.executions.unwrap_or(u64::MAX),
            milliseconds: u64::MAX,
            allowed: options.allowed,
            note: scratch.path().join("note"),
        };
        let (inputs, began) = (Inputs::new(target, seed), Instant::now());
        Ok(Self { target, options, inputs, scratch, task, began, known: BTreeSet::new(), accepted: 0 })
    }

    /// Whether something was found.
    fn run(mut self) -> io::Result<bool> {
        while self.known.len() < FAULTS && self.has_time() && self.task.from < self.task.to {
            let output = self.work()?;
            let nothing = Note { number: self.task.from, accepted: 0 };
            let note = File::open(&self.task.note).and_then(|file| Note::read(&file)).unwrap_or(nothing);
            self.accepted += note.accepted;
            self.task.from = note.number;
            if let Some(what) = fault(&output)? {
                let found = Instant::now();
                self.found(what)?;
                // Only reading counts.
                self.began += found.elapsed();
                self.task.from += 1;
            }
        }
        let (name, executions) = (self.target.name, self.task.from);
        let accepted = self.accepted * 100 / executions.max(1);
        println!("{name}: {executions} executions, {accepted}% accepted, {} found", self.known.len());
        Ok(!self.known.is_empty())
    }

    fn has_time(&self) -> bool {
        self.options.executions.is_some() || self.left() > Duration::ZERO
    }

    fn left(&self) -> Duration {
        Duration::from_secs(self.options.seconds).saturating_sub(self.began.elapsed())
    }

    fn work(&self) -> io::Result<Output> {
        File::create(&self.task.note)?;
        let Task { target, seed, from, to, allowed, note, .. } = &self.task;
        let mut worker = Command::new(std::env::current_exe()?);
        worker.args(["worker", target, "--seed", &seed.to_string(), "--from", &from.to_string()]);
        worker.args(["--to", &to.to_string(), "--allowed", &allowed.to_string(), "--note"]).arg(note);
        if self.options.executions.is_none() {
            worker.args(["--milliseconds", &self.left().as_millis().to_string()]);
        }
        worker.env("TMPDIR", self.scratch.path()).stdin(Stdio::null()).stdout(Stdio::null()).output()
    }

    /// Tells of a fault once.
    fn found(&mut self, what: String) -> io::Result<()> {
        if self.known.contains(&what) {
            return Ok(());
        }
        let (name, number, allowed) =
            (self.target.name, self.task.from, Duration::from_millis(self.options.allowed));
        let input = self.inputs.get(number);
        if self.inputs.is_whole(number) && what.starts_with("a whole input is refused") {
            println!("{name}: input {number}: {what}");
            self.known.insert(what);
            return Ok(());
        }
        match Finding::keep(self.target, input, allowed, &self.options.keep)? {
            None => println!("{name}: input {number}: {what}, but not when it is read alone"),
            Some(Finding { what, file, len }) if self.known.insert(what.clone()) => {
                let again = again(name, &file, allowed)?;
                let words: Vec<_> =
                    [again.get_program()].into_iter().chain(again.get_args().take(3)).collect();
                let words = words.join(" ".as_ref());
                println!("{name}: input {number}: {what}\n  {len} bytes; again: {}", words.display());
            }
            Some(_) => {}
        }
        Ok(())
    }
}
