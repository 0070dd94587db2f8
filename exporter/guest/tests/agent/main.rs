//! The agent without a machine: the program's role, a socket in place of the port, and this test in place of process 1.
//! Needs root, as the agent has it: programs take on users.

#![allow(clippy::unwrap_used, reason = "helpers of tests may unwrap as tests do")]

mod copies;
mod hang_ups;
mod hostile;
mod programs;
mod service;
mod support;
