//! A keeper with a real QEMU, of a machine that has nothing: no processor, no memory and no bus.

use std::path::Path;
use std::time::Duration;

use super::*;
use crate::base::programs;

/// The folder of a machine whose QEMU has these arguments as well.
fn machine(folder: &Path, more: &[&str]) -> Machine {
    let machine = Machine::in_folder(&folder.join("web")).unwrap();
    std::fs::create_dir(machine.folder()).unwrap();
    let qemu = programs::find("qemu-system-x86_64").unwrap();
    let console = format!("socket,id=console,path={CONSOLE_SOCKET}");
    let status = format!("socket,id=status,path={STATUS_SOCKET}");
    let qmp = format!("unix:{QMP_SOCKET},server=on,wait=off");
    let words = [
        "-machine",
        "none",
        "-nodefaults",
        "-display",
        "none",
        "-chardev",
        &console,
        "-chardev",
        &status,
        "-qmp",
        &qmp,
    ];
    let words = [qemu.to_str().unwrap()].into_iter().chain(words).chain(more.iter().copied());
    let words = words.map(|word| word.into()).collect();
    machine.keep(&Record::new("web.raw".into(), MachineKind::Disk, Vec::new(), words)).unwrap();
    machine
}

#[test]
fn a_machine_is_kept_until_it_is_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let machine = machine(folder.path(), &[]);
    assert!(!machine.is_running());
    let (ready, is_ready) = std::sync::mpsc::channel();
    let kept = machine.clone();
    let keeper = std::thread::spawn(move || {
        let lock = kept.lock().unwrap();
        keeper::attend(&kept, &lock, Front::None, || ready.send(()).unwrap())
    });
    is_ready.recv_timeout(Duration::from_secs(60)).unwrap();
    assert!(machine.is_running() && machine.lock().is_err());
    assert!(matches!(machine.record().unwrap().state(true), State::Running(_)));
    // It has no power button, and no agent.
    stop(&machine, Duration::from_millis(100)).unwrap();
    let end = keeper.join().unwrap().unwrap();
    assert_eq!(end.status, 137);
    assert_eq!(machine.record().unwrap().state(machine.is_running()), State::Exited(end));
}

#[test]
fn what_qemu_refuses_is_the_error_and_the_end_of_the_machine() {
    let folder = tempfile::tempdir().unwrap();
    let machine = machine(folder.path(), &["-device", "no-such-device"]);
    let lock = machine.lock().unwrap();
    let error = keeper::attend(&machine, &lock, Front::None, || panic!("it does not run")).unwrap_err();
    assert!(
        error.to_string().contains("web: QEMU: ") && error.to_string().contains("no-such-device"),
        "{error}"
    );
    let ended = machine.record().unwrap().ended.unwrap();
    assert_eq!((ended.status, ended.error), (125, Some(error.to_string())));
}

/// Nobody is served by an agent that is not there, and nobody waits for it longer than they want to.
#[test]
fn a_machine_is_not_there_without_its_keeper() {
    let folder = tempfile::tempdir().unwrap();
    let machine = machine(folder.path(), &[]);
    assert!(machine.agent().is_err() && !machine.is_running());
    stop(&machine, Duration::from_secs(60)).unwrap();
    kill(&machine).unwrap();
    let lock = machine.lock().unwrap();
    assert!(machine.is_running(), "who does something to it is seen as well");
    assert!(machine.remove().is_err());
    drop(lock);
    machine.remove().unwrap();
    assert!(!machine.folder().exists());
}
