//! The devices of the machine: those that are there, and those that come later.
//!
//! Both tell of themselves in the same words, the variables of an "uevent" (kernel documentation,
//! ABI/testing/sysfs-uevent): in a file of sysfs, and in a message when the device appears.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::thread;

use rustix::net::netlink::{KOBJECT_UEVENT, SocketAddrNetlink};
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, bind, recv, socket_with};

use crate::init::console::say;

/// All devices by their place in the machine.
const DEVICES: &str = "/sys/devices";
/// The kernel's own messages, as against those of udev.
const KERNEL_GROUP: u32 = 1;

/// What a device says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Device {
    /// What modules are looked up by.
    pub(crate) modalias: Option<String>,
    /// Its name in `/dev`.
    pub(crate) node: Option<String>,
    /// Its name, if it is a network interface.
    pub(crate) interface: Option<String>,
}

impl Device {
    fn parse<'a>(variables: impl Iterator<Item = &'a str>) -> Self {
        let mut device = Self::default();
        for (name, value) in variables.filter_map(|variable| variable.split_once('=')) {
            match name {
                "MODALIAS" => device.modalias = Some(value.to_owned()),
                "DEVNAME" => device.node = Some(value.to_owned()),
                "INTERFACE" => device.interface = Some(value.to_owned()),
                _ => {}
            }
        }
        device
    }

    /// The device a message tells of, if that has come.
    fn added(message: &[u8]) -> Option<Self> {
        let message = String::from_utf8_lossy(message);
        message.starts_with("add@").then(|| Self::parse(message.split('\0')))
    }
}

/// Call `found` for every device of the machine, those among them that it makes appear, and from then on in
/// the background for those that come.
pub(crate) fn watch(mut found: impl FnMut(Device) + Send + 'static) {
    // From before the first look, or something could come in between.
    let messages = listen();
    let mut seen = HashSet::new();
    loop {
        let devices = present(Path::new(DEVICES)).into_iter();
        let new: Vec<_> = devices.filter(|device| seen.insert(device.clone())).collect();
        if new.is_empty() {
            break;
        }
        new.into_iter().for_each(&mut found);
    }
    match messages {
        Ok(socket) => drop(thread::spawn(move || follow(&socket, found))),
        Err(error) => say(format_args!("devices that come later will not be seen: {error}")),
    }
}

/// The devices at and below a directory of sysfs.
fn present(directory: &Path) -> Vec<Device> {
    let (mut found, mut left) = (Vec::new(), vec![directory.to_owned()]);
    while let Some(directory) = left.pop() {
        let own = fs::read(directory.join("uevent")).ok();
        found.extend(own.map(|text| Device::parse(String::from_utf8_lossy(&text).lines())));
        let entries = fs::read_dir(&directory).into_iter().flatten().flatten();
        let below = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        left.extend(below.map(|entry| entry.path()));
    }
    found
}

fn listen() -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC;
    let socket = socket_with(AddressFamily::NETLINK, SocketType::DGRAM, flags, Some(KOBJECT_UEVENT))?;
    bind(&socket, &SocketAddrNetlink::new(0, KERNEL_GROUP))?;
    Ok(socket)
}

fn follow(socket: &OwnedFd, mut found: impl FnMut(Device)) {
    let mut message = [0; 8192];
    loop {
        // What got lost for want of room comes as an error too; the next message is as good.
        let Ok((len, _)) = recv(socket, &mut message[..], RecvFlags::empty()) else { continue };
        message.get(..len).and_then(Device::added).into_iter().for_each(&mut found);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_that_comes_is_read_and_one_that_goes_is_not() {
        let message = b"add@/devices/pci0000:00/0000:00:02.0/virtio0/net/eth0\0ACTION=add\0\
            DEVPATH=/devices/pci0000:00/0000:00:02.0/virtio0/net/eth0\0SUBSYSTEM=net\0INTERFACE=eth0\0IFINDEX=2\0";
        let device = Device { interface: Some("eth0".into()), ..Device::default() };
        assert_eq!(Device::added(message), Some(device));
        let gone = String::from_utf8_lossy(message).replace("add", "remove");
        assert_eq!(Device::added(gone.as_bytes()), None);
        assert_eq!(Device::added(b"libudev\0\xfe\xed"), None);
    }

    #[test]
    fn the_file_in_sysfs_says_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let below = folder.path().join("pci0/input0");
        fs::create_dir_all(&below).unwrap();
        fs::write(folder.path().join("pci0/uevent"), "DRIVER=virtio\nMODALIAS=pci:v1d2\n").unwrap();
        fs::write(below.join("uevent"), "DEVNAME=input/event0\n").unwrap();
        std::os::unix::fs::symlink("..", below.join("subsystem")).unwrap();
        let found = present(folder.path());
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].modalias.as_deref(), Some("pci:v1d2"));
        assert_eq!(found[1].node.as_deref(), Some("input/event0"));
    }
}
