//! `vmimage-early`: what is done to the root before the machine's init.

fn main() -> std::process::ExitCode {
    guest::early::main()
}
