//! The program; all of it is in the library, so that tests and `make fuzz` get at it.

fn main() -> std::process::ExitCode {
    vmimage::main()
}
