//! A fleet without machines: fifty processes of `vmimage-update`, over files in place of disks, take their versions from one
//! web server. One version is bad; its boots are played here, as the boot loader would have them.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde_json::Value;

use crate::measure::{self, Usage};
use crate::table::{Report, Table, mb, mib};
use crate::version::{BLOCK, Version, noise, state};
use crate::web::Server;
use crate::{Options, Result, this_program};

/// This program as `vmimage-update`, whose first argument it is.
pub(crate) const ROLE: &str = "--simulate";

const MACHINES: usize = 50;
const VERSIONS: [&str; 3] = ["1", BAD, NEWEST];
const BAD: &str = "2";
const NEWEST: &str = "3";
/// What the server has, one after another; each machine looks once.
const OFFERS: [&str; 4] = [BAD, BAD, NEWEST, NEWEST];
/// Starts that may end in no good boot.
const TRIES: u32 = 3;
/// Of so many blocks, one is another in the next version.
const CHANGED: usize = 16;
/// What a machine fetches, by the bytes of the blocks that changed.
const LIMIT: f64 = 1.1;

/// Let the fleet look, boot it, print where it is; fail if a machine is on the bad version, or not on the newest one at the
/// end.
pub(crate) fn run(options: &Options, work: &Path, report: &mut Report) -> Result<()> {
    let scratch = tempfile::tempdir_in(work)?;
    let blocks = if options.quick { 2 * CHANGED } else { 16 * CHANGED };
    let fleet = Fleet::new(scratch.path(), blocks)?;
    println!("## A fleet\n");
    println!(
        "{MACHINES} machines at once, with roots of {} MiB, of which a {CHANGED}th changes.\n",
        blocks / 16
    );
    let head =
        ["the server has", "seconds", "MB sent", "MB a machine", "peak MiB", "on 1", "on 2, bad", "on 3"];
    let mut table = Table::new(&head);
    let mut before = "";
    for offer in OFFERS {
        let took = fleet.look(offer)?;
        let sent = fleet.server.sent() as f64;
        let on = fleet.boot()?;
        let numbers = [sent / 1e6 / MACHINES as f64, took.seconds].map(|number| format!("{number:.2}"));
        let [each, seconds] = numbers;
        let row = [offer.to_owned(), seconds, mb(sent), each, mib(took.peak as f64)];
        table.row(row.into_iter().chain(on.map(|count| count.to_string())));
        if offer != before {
            let changed = (MACHINES * blocks / CHANGED * BLOCK) as f64;
            report.expect(format!("fetched of version {offer}, by what changed"), sent / changed, LIMIT);
        }
        before = offer;
        report.expect(format!("machines on the bad version, of {MACHINES}"), on[1] as f64, 0.0);
        let is_there = on[1] == 0 && (offer != NEWEST || on[2] == MACHINES);
        if !is_there {
            println!("{table}");
            return Err(format!("machines on {VERSIONS:?} are {on:?} while the server has {offer}").into());
        }
    }
    println!("{table}");
    Ok(())
}

struct Fleet {
    server: Server,
    web: PathBuf,
    machines: Vec<Machine>,
}

impl Fleet {
    /// All on the first version, with the server of the others.
    fn new(folder: &Path, blocks: usize) -> Result<Self> {
        let web = folder.join("web");
        let mut root = noise("1", blocks * BLOCK);
        let first = root.clone();
        for (number, version) in VERSIONS.into_iter().enumerate().skip(1) {
            for block in root.chunks_exact_mut(BLOCK).skip(number).step_by(CHANGED) {
                let place = block.len();
                block.copy_from_slice(&noise(&format!("{version} {:?}", block.first_chunk::<8>()), place));
            }
            Version { version, root: &root }.write(&web.join(version))?;
        }
        let server = Server::start(&web)?;
        let from = format!("http://127.0.0.1:{}/latest/", server.port());
        let machines =
            (0..MACHINES).map(|number| Machine::new(folder.join(number.to_string()), &first, &from));
        Ok(Self { server, web, machines: machines.collect::<Result<_>>()? })
    }

    /// All machines do at once what their timers do, while the server has this version.
    fn look(&self, offer: &str) -> Result<Usage> {
        let latest = self.web.join("latest");
        let _ = std::fs::remove_file(&latest);
        symlink(offer, &latest)?;
        let start = Instant::now();
        let looks = std::thread::scope(|scope| {
            let looks = self.machines.iter().map(|machine| scope.spawn(|| machine.look()));
            let looks: Vec<_> = looks.collect();
            let ended =
                looks.into_iter().map(|look| look.join().map_err(|_| "a thread panicked".to_owned())?);
            ended.collect::<std::result::Result<Vec<_>, String>>()
        })?;
        let all = looks.into_iter().fold(Usage::default(), |all, one| all + one);
        Ok(Usage { seconds: start.elapsed().as_secs_f64(), ..all })
    }

    /// How many machines are on each of the versions, once all were started anew.
    fn boot(&self) -> Result<[usize; 3]> {
        let mut on = [0; 3];
        for machine in &self.machines {
            let version = machine.boot()?;
            let place = VERSIONS.iter().position(|known| *known == version);
            on[place.ok_or_else(|| format!("a machine is on {version}"))?] += 1;
        }
        Ok(on)
    }
}

/// A machine of files.
struct Machine(PathBuf);

impl Machine {
    fn new(folder: PathBuf, root: &[u8], from: &str) -> Result<Self> {
        std::fs::create_dir(&folder)?;
        std::fs::write(folder.join("slot-a"), root)?;
        std::fs::File::create(folder.join("slot-b"))?.set_len(root.len() as u64)?;
        std::fs::write(folder.join("state.json"), state(VERSIONS[0], from).to_string())?;
        Ok(Self(folder))
    }

    fn look(&self) -> std::result::Result<Usage, String> {
        let looks = || measure::run(this_program()?.arg(ROLE).arg(&self.0).arg("auto"));
        looks().map_err(|error| error.to_string())
    }

    /// As GRUB does it: the first slot that may be started is, until it was so too often. Returns the version that is good.
    fn boot(&self) -> Result<String> {
        let path = self.0.join("state.json");
        let mut state: Value = serde_json::from_slice(&std::fs::read(&path)?)?;
        let order = state["order"].as_array().ok_or("state.json: has no order")?.clone();
        for slot in order {
            let place = usize::from(slot == "B");
            let label = state["slots"][place]["label"].as_str().unwrap_or_default().to_owned();
            if state["slots"][place]["ok"] != true || state["slots"][place]["tries"] == TRIES {
                continue;
            }
            let version = label.trim_start_matches("kiosk_");
            if version == BAD {
                state["slots"][place]["tries"] = TRIES.into();
                continue;
            }
            state["slots"][place]["tries"] = 0.into();
            state["booted"] = slot.clone();
            state["good"] = slot;
            std::fs::write(&path, state.to_string())?;
            return Ok(version.to_owned());
        }
        Err(format!("{}: nothing can be started", path.display()).into())
    }
}
