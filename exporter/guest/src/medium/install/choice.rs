//! Which disk is written: what was asked for, or what somebody on a console says.
//!
//! ```text
//! all disks ─what is asked fits▶ ─large enough, not used, …▶ ─no data▶ one: it
//!                │ none: error       │ none: error              │ several, or data: ask, or refuse
//! ```

use std::path::Path;

use super::config::{Config, Fitting, Wish};
use super::data::{self, Contents};
use super::disks::Disk;
use super::image::Image;
use super::person::Person;
use super::progress::size;
use crate::init::modules::matches;

/// How often an answer may be none.
const TRIES: usize = 5;

/// A disk that may be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) disk: Disk,
    pub(super) contents: Contents,
}

/// What is to be known of the disks that are there.
pub(super) struct Choice<'a> {
    pub(super) config: &'a Config,
    pub(super) image: &'a Image,
    /// The disk that the medium is on.
    pub(super) medium: Option<&'a Path>,
    pub(super) person: &'a dyn Person,
}

impl Choice<'_> {
    /// # Errors
    /// Why there is none, with all that are there.
    pub(super) fn choose(&self, disks: Vec<Disk>) -> Result<Candidate, String> {
        let Config { disk: wish, overwrite, unattended, .. } = self.config;
        let (asked, others): (Vec<_>, Vec<_>) = disks.into_iter().partition(|disk| wish.fits(disk));
        if asked.is_empty() {
            let list = others.iter().map(|disk| format!("\n  {}", show(disk))).collect::<String>();
            let what = if list.is_empty() {
                "the machine has no disk"
            } else {
                "no disk is the one that is asked for"
            };
            return Err(format!(
                "{what}{list}\nhint: its driver may be missing in the medium, or disk= says another one"
            ));
        }
        let (mut able, mut unable) = (Vec::new(), Vec::new());
        for disk in asked {
            match self.look(disk) {
                Ok(candidate) => able.push(candidate),
                Err(why) => unable.push(why),
            }
        }
        if able.is_empty() {
            return Err(format!("no disk can be taken:{}", lines(&unable)));
        }
        let empty: Vec<_> = able.iter().filter(|candidate| !candidate.has_data()).collect();
        let may_be_taken: Vec<_> = if *overwrite { able.iter().collect() } else { empty.clone() };
        let bytes = |candidate: &&&Candidate| candidate.disk.bytes;
        let found = match wish {
            Wish::Smallest => may_be_taken.iter().min_by_key(bytes).copied(),
            Wish::Largest => may_be_taken.iter().rev().max_by_key(bytes).copied(),
            Wish::Ask => None,
            Wish::Free | Wish::These(_) => only(&empty).or_else(|| only(&may_be_taken)),
        };
        match found {
            Some(candidate) => Ok(candidate.clone()),
            None if *unattended => Err(self.refusal(&able, &unable)),
            None => self.ask(&able, &unable),
        }
    }

    /// # Errors
    /// Why it cannot be taken.
    fn look(&self, disk: Disk) -> Result<Candidate, String> {
        let why = |reason: String| format!("{}: {reason}", show(&disk));
        if self.medium == Some(&disk.path) {
            return Err(why("is what this medium is on".to_owned()));
        }
        if disk.is_read_only {
            return Err(why("can only be read".to_owned()));
        }
        if disk.is_used {
            return Err(why("is used: it is mounted, or something is made of it".to_owned()));
        }
        let Image { bytes, sector, .. } = *self.image;
        if disk.sector != sector {
            return Err(why(format!(
                "has sectors of {} bytes, and the system is made for {sector}: build it with sector-size = {}",
                disk.sector, disk.sector
            )));
        }
        if disk.bytes < bytes {
            return Err(why(format!("is too small: the system needs {} ({bytes} bytes)", size(bytes))));
        }
        let contents = data::of(&disk.path, disk.bytes, disk.sector).map_err(why)?;
        Ok(Candidate { disk, contents })
    }

    fn refusal(&self, able: &[Candidate], unable: &[String]) -> String {
        let shown: Vec<_> = able.iter().map(Candidate::show).collect();
        let (what, hint) = match able {
            [one] if one.has_data() => {
                ("has data, nothing was written", "overwrite = true takes it all the same")
            }
            _ if able.iter().all(Candidate::has_data) => {
                ("have data, nothing was written", "overwrite = true and disk = \"…\" say which one goes")
            }
            _ => ("may be taken, and nobody is there to say which", "disk = \"…\" says it"),
        };
        format!("these disks {what}:{}{}\nhint: {hint}", lines(&shown), lines(unable))
    }

    /// By a number, and of a disk with data by its name.
    fn ask(&self, able: &[Candidate], unable: &[String]) -> Result<Candidate, String> {
        let person = self.person;
        person.say("the disks of this machine:");
        for (number, candidate) in (1..).zip(able) {
            person.say(&format!("  {number}) {}", candidate.show()));
        }
        for why in unable {
            person.say(&format!("   - {why}"));
        }
        for _ in 0..TRIES {
            let answer = person.ask("the number of the one that is to be written, or q to stop:")?;
            if answer == "q" {
                break;
            }
            let number = answer.parse::<usize>().ok().and_then(|number| number.checked_sub(1));
            match number.and_then(|at| able.get(at)) {
                Some(candidate) if self.is_confirmed(candidate)? => return Ok(candidate.clone()),
                Some(_) => person.say("nothing was written"),
                None => person.say(&format!("{answer:?} is none of these numbers")),
            }
        }
        Err("no disk was chosen: nothing was written".to_owned())
    }

    fn is_confirmed(&self, candidate: &Candidate) -> Result<bool, String> {
        let Candidate { disk, contents } = candidate;
        let Contents::Data(what) = contents else { return Ok(true) };
        if self.config.overwrite {
            return Ok(true);
        }
        let name = &disk.name;
        self.person.say(&format!("{}: has {what}, and all of it will be lost", disk.path.display()));
        Ok(self.person.ask(&format!("type {name} to overwrite it:"))? == *name)
    }
}

impl Candidate {
    fn has_data(&self) -> bool {
        matches!(self.contents, Contents::Data(_))
    }

    pub(super) fn show(&self) -> String {
        let what = match &self.contents {
            Contents::Nothing => "is empty".to_owned(),
            Contents::Unfinished => "has an installation that is not complete".to_owned(),
            Contents::Data(what) => format!("has {what}"),
        };
        format!("{}: {what}", show(&self.disk))
    }
}

impl Wish {
    fn fits(&self, disk: &Disk) -> bool {
        match self {
            Self::These(fitting) => fitting.fits(disk),
            _ => true,
        }
    }
}

impl Fitting {
    fn fits(&self, disk: &Disk) -> bool {
        let Self { path, serial, model, min_size, max_size, transport } = self;
        let is = |asked: &Option<String>, real: &str| {
            asked.as_ref().is_none_or(|asked| matches(asked.as_bytes(), real.as_bytes()))
        };
        path.as_ref().is_none_or(|path| disk.path == Path::new(path))
            && is(serial, &disk.serial)
            && is(model, &disk.model)
            && transport.as_ref().is_none_or(|asked| asked == disk.transport)
            && min_size.is_none_or(|least| disk.bytes >= least.0)
            && max_size.is_none_or(|most| disk.bytes <= most.0)
    }
}

fn only<'a>(candidates: &[&'a Candidate]) -> Option<&'a Candidate> {
    match candidates {
        [one] => Some(one),
        _ => None,
    }
}

fn lines(texts: &[String]) -> String {
    texts.iter().map(|text| format!("\n  {text}")).collect()
}

/// A disk for a person.
fn show(disk: &Disk) -> String {
    let Disk { path, bytes, model, serial, transport, .. } = disk;
    let mut words = vec![path.display().to_string(), size(*bytes), (*transport).to_owned()];
    if !model.is_empty() {
        words.push(model.clone());
    }
    if !serial.is_empty() {
        words.push(format!("serial {serial}"));
    }
    words.join(", ")
}

#[cfg(test)]
mod tests;
