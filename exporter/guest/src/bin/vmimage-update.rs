//! `vmimage-update`: the next version of a machine with two slots, written into the one that is free.

fn main() -> std::process::ExitCode {
    guest::update::main()
}
