//! What is written once for both worlds: for the gateway, which waits for a daemon, and for processes that wait for nothing
//! but the operating system.

use futures_util::FutureExt;

/// The outcome of a future that never waits.
///
/// # Panics
/// If it does.
pub(crate) fn ready<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().expect("nothing in it gives way to others")
}
