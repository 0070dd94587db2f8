//! `vmimage-boot`: which of two roots the machine is started from, and whether that went well.

fn main() -> std::process::ExitCode {
    guest::choice::main()
}
