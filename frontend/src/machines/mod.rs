//! Machines that stay when the command that made them has ended: each has a folder, and while it runs a process of this
//! program that is there for it.
//!
//! ```text
//! $XDG_STATE_HOME/vmimage/machines/web/
//!   machine.json     what it was made of, QEMU's command line, how it ended        record
//!   overlay.qcow2    what it writes, over a base that nobody writes to             disk
//!   console.log      what is on its console, and console.log.1 before that         log
//!   lock             held by its keeper: who has none that holds it does not run   folder
//!   agent.sock       for clients of its agent, as many as there are                relay
//!   *.sock           between the keeper and QEMU, whose working directory this is
//!
//! keeper ──▶ QEMU, which is killed with it
//!   ├─ console.sock ─▶ console.log       ├─ status.sock: how the program ended
//!   └─ agent.sock ◀─▶ port.sock          └─ at the end: machine.json
//! ```
//!
//! Nothing that is said of a running machine is in a file: the lock is the kernel's, and gone with whoever held it.

mod console;
pub(crate) mod disk;
mod folder;
mod keeper;
pub(crate) mod log;
mod name;
pub(crate) mod qmp;
mod record;
mod relay;
pub(crate) mod status;
mod stop;
mod tail;
pub(crate) mod tty;

pub(crate) use folder::{Lock, Machine};
pub(crate) use keeper::{Front, attend, keep, start};
pub(crate) use name::Name;
pub(crate) use record::{Drive, End, MachineKind, Record, State, now};
pub(crate) use stop::{kill, stop};

/// The first word by which this program becomes a keeper.
pub(crate) const KEEPER: &str = "keep-machine";

/// Sockets in the folder of a machine, between its QEMU and its keeper. QEMU listens on the last two.
pub(crate) const CONSOLE_SOCKET: &str = "console.sock";
/// Where the machine tells how its program has ended.
pub(crate) const STATUS_SOCKET: &str = "status.sock";
/// QEMU's end of the agent's port.
pub(crate) const PORT_SOCKET: &str = "port.sock";
/// QEMU's own protocol.
pub(crate) const QMP_SOCKET: &str = "qmp.sock";
/// Where clients of the agent are served.
const AGENT_SOCKET: &str = "agent.sock";

#[cfg(test)]
mod tests;
