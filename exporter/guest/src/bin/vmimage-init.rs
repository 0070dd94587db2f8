//! `vmimage-init`: the first process of a machine whose image has no init of its own.

fn main() -> std::process::ExitCode {
    guest::init::main()
}
