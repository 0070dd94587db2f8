//! The devices of the machine: those that are there, and those that come later.
//!
//! Both tell of themselves in the same words, the variables of an "uevent" (kernel documentation,
//! ABI/testing/sysfs-uevent): in a file of sysfs, and in a message when the device appears.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::netlink::{KOBJECT_UEVENT, SocketAddrNetlink};
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, bind, recv, socket_with};

use crate::init::console::say;
use crate::init::modules::Modules;

/// Where all devices are that say what module they want: by their buses, and two classes of devices without one.
const SYSFS: &str = "/sys";
const BUSES: &str = "bus";
const CLASSES: [&str; 2] = ["class/input", "class/dmi"];
/// The most that a file of sysfs has: a page, read at once.
const ATTRIBUTE_MAX: usize = 4096;
/// The kernel's own messages, as against those of udev.
const KERNEL_GROUP: u32 = 1;

/// Buses of the kernel's own things, of which a large machine has many and none wants a driver.
const BARREN: [&str; 7] =
    ["clockevents", "clocksource", "event_source", "machinecheck", "memory", "node", "workqueue"];

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

/// The devices that are there, and the messages of those that come.
#[derive(Debug)]
pub(crate) struct Devices(Option<OwnedFd>);

impl Devices {
    /// From now on no device that comes is missed.
    pub(crate) fn listen() -> Self {
        let refused =
            |error: &io::Error| say(format_args!("devices that come later will not be seen: {error}"));
        Self(listen().inspect_err(refused).ok())
    }

    /// Load what the devices want that are there, and those that appear thereby.
    pub(crate) fn load(&self, modules: &mut Modules) {
        loop {
            for alias in present(Path::new(SYSFS)).into_iter().filter_map(|device| device.modalias) {
                modules.load(&alias);
            }
            if self.load_new(modules) {
                return;
            }
        }
    }

    /// Load what those want that have appeared since, and those that appear thereby: a driver's devices are announced before
    /// its module is loaded. Returns whether that were all.
    pub(crate) fn load_new(&self, modules: &mut Modules) -> bool {
        loop {
            match self.receive(RecvFlags::DONTWAIT) {
                Ok(device) => {
                    device.and_then(|device| device.modalias).iter().for_each(|alias| modules.load(alias))
                }
                // There were more than the kernel keeps.
                Err(Errno::NOBUFS) => return false,
                Err(_) => return true,
            }
        }
    }

    /// The next device that comes, within `patience`.
    pub(crate) fn next(&self, patience: Duration) -> Option<Device> {
        let start = Instant::now();
        loop {
            let left = patience.saturating_sub(start.elapsed());
            let Some(socket) = self.0.as_ref().filter(|_| !left.is_zero()) else {
                std::thread::sleep(left);
                return None;
            };
            // The shortest that is no "for ever".
            let left = left.max(Duration::from_millis(1));
            let _ = set_socket_timeout(socket, Timeout::Recv, Some(left));
            if let Ok(Some(device)) = self.receive(RecvFlags::empty()) {
                return Some(device);
            }
        }
    }

    /// Call `found` for every device that comes, for ever.
    pub(crate) fn follow(self, mut found: impl FnMut(Device) + Send + 'static) {
        let Some(socket) = &self.0 else { return };
        let _ = set_socket_timeout(socket, Timeout::Recv, None);
        thread::spawn(move || {
            loop {
                // What got lost for want of room comes as an error too; the next message is as good.
                if let Ok(Some(device)) = self.receive(RecvFlags::empty()) {
                    found(device);
                }
            }
        });
    }

    /// The next message; `None`: of another kind.
    fn receive(&self, flags: RecvFlags) -> Result<Option<Device>, Errno> {
        let mut message = [0; 8192];
        let (len, _) = recv(self.0.as_ref().ok_or(Errno::BADF)?, &mut message[..], flags)?;
        Ok(message.get(..len).and_then(Device::added))
    }
}

/// The devices that are there. Their buses have a fraction of the directories that the devices themselves have.
fn present(sysfs: &Path) -> Vec<Device> {
    let mut folders = entries(&sysfs.join(BUSES));
    folders.retain(|bus| !BARREN.iter().any(|name| bus.ends_with(name)));
    folders.iter_mut().for_each(|bus| bus.push("devices"));
    folders.extend(CLASSES.map(|class| sysfs.join(class)));
    let mut found = Vec::new();
    // One buffer for all: each of its own would be memory that is mapped anew.
    let mut text = [0; ATTRIBUTE_MAX];
    for device in folders.iter().flat_map(|folder| entries(folder)) {
        let len = File::open(device.join("uevent")).and_then(|mut file| file.read(&mut text));
        let told = text.get(..len.unwrap_or_default()).unwrap_or_default();
        found.push(Device::parse(String::from_utf8_lossy(told).lines()));
    }
    found
}

fn entries(directory: &Path) -> Vec<PathBuf> {
    fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

fn listen() -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC;
    let socket = socket_with(AddressFamily::NETLINK, SocketType::DGRAM, flags, Some(KOBJECT_UEVENT))?;
    bind(&socket, &SocketAddrNetlink::new(0, KERNEL_GROUP))?;
    Ok(socket)
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
    fn nothing_that_comes_is_waited_for_no_longer() {
        assert_eq!(Devices(None).next(Duration::from_millis(1)), None);
        assert_eq!(Devices(listen().ok()).next(Duration::ZERO), None);
    }

    #[test]
    fn the_file_in_sysfs_says_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let place = |name: &str| {
            let place = folder.path().join(name);
            fs::create_dir_all(&place).unwrap();
            place
        };
        fs::write(place("devices/pci0").join("uevent"), "DRIVER=virtio\nMODALIAS=pci:v1d2\n").unwrap();
        std::os::unix::fs::symlink(place("devices/pci0"), place("bus/pci/devices").join("pci0")).unwrap();
        fs::write(place("class/input/input0").join("uevent"), "DEVNAME=input/event0\n").unwrap();
        for other in ["bus/memory/devices/memory0", "class/tty/tty1", "devices/more"] {
            fs::write(place(other).join("uevent"), "DEVNAME=tty1\n").unwrap();
        }
        let found = present(folder.path());
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].modalias.as_deref(), Some("pci:v1d2"));
        assert_eq!(found[1].node.as_deref(), Some("input/event0"));
    }
}
