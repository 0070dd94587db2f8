//! `--serial`: ports of a machine beside its console.

use std::ffi::OsString;
use std::os::unix::fs::FileTypeExt;
use std::path::PathBuf;
use std::process::Command;
use std::str::FromStr;

use super::option_value;

/// What a socket is called that nobody has made yet.
const SOCKET: &str = "sock";

/// A port by its name, and what is at its other end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Serial {
    name: String,
    path: PathBuf,
}

impl FromStr for Serial {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, path) = text.split_once('=').ok_or("should look like log=machine.log")?;
        let is_of_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if !matches!(name.len(), 1..=64) || !name.bytes().all(is_of_name) {
            return Err(format!("{name:?} is no name of a port"));
        }
        if path.is_empty() {
            return Err("names no file".to_owned());
        }
        Ok(Self { name: name.to_owned(), path: path.into() })
    }
}

impl Serial {
    /// What QEMU has at the other end: the kind of a character device, with its options before the path.
    fn back_end(&self) -> &'static str {
        match self.path.metadata().map(|there| there.file_type()) {
            Ok(kind) if kind.is_fifo() => "pipe",
            Ok(kind) if kind.is_socket() => "socket,server=off",
            Err(_) if self.path.extension().is_some_and(|extension| extension == SOCKET) => {
                "socket,server=on,wait=off"
            }
            Ok(_) | Err(_) => "file,append=on",
        }
    }
}

/// Adds the ports.
pub(super) fn add_all(command: &mut Command, ports: &[Serial]) {
    if !ports.is_empty() {
        command.args(["-device", "virtio-serial-pci,id=ports"]);
    }
    for (index, port) in ports.iter().enumerate() {
        let (kind, options) = port.back_end().split_once(',').unwrap_or((port.back_end(), ""));
        let options = if options.is_empty() { String::new() } else { format!(",{options}") };
        let mut value = OsString::from(format!("{kind},id=port{index}{options},path="));
        value.push(option_value(&port.path));
        command.arg("-chardev").arg(value);
        command
            .args(["-device", &format!("virtserialport,bus=ports.0,chardev=port{index},name={}", port.name)]);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;
    use crate::base::shell;

    #[test]
    fn the_other_end_is_what_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let _listener = UnixListener::bind(at("there")).unwrap();
        assert!(Command::new("mkfifo").arg(at("fifo")).status().unwrap().success());
        for (name, back_end) in [
            ("log", "file,append=on"),
            ("fifo", "pipe"),
            ("there", "socket,server=off"),
            ("new.sock", "socket,server=on,wait=off"),
        ] {
            let port: Serial = format!("port={}", at(name).display()).parse().unwrap();
            assert_eq!(port.back_end(), back_end, "{name}");
        }
    }

    #[test]
    fn a_port_is_a_device_by_its_name() {
        let mut command = Command::new("qemu");
        add_all(&mut command, &[]);
        add_all(&mut command, &["org.log=a,b".parse().unwrap()]);
        assert_eq!(
            shell::show(&command),
            "qemu -device virtio-serial-pci,id=ports -chardev file,id=port0,append=on,path=a,,b \
             -device virtserialport,bus=ports.0,chardev=port0,name=org.log"
        );
        for text in ["", "log", "=x", "a,path=x=y", "log="] {
            assert!(text.parse::<Serial>().is_err(), "{text}");
        }
    }
}
