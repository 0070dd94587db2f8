//! `vmimage-medium`: the first process of an initramfs of a medium: it runs the system of the medium, installs it, or rescues one.

fn main() -> std::process::ExitCode {
    guest::medium::main()
}
