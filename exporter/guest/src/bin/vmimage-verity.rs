//! `vmimage-verity`: makes the device of a root that is verified, in the initramfs.

fn main() -> std::process::ExitCode {
    guest::verity::main()
}
