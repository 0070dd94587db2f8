//! The device's other side: requests of the kernel, one after the other, answered from the web server.

use std::io::{self, ErrorKind, Read, Write};

use zerocopy::{FromBytes, IntoBytes};

use super::cache::{Cache, Fetch};
use super::request::{Command, Errno, LEN_MAX, NbdRequest};

/// Bytes that are answered at once.
const PART: usize = 128 << 10;

/// Serve a device of `size` bytes until the kernel disconnects it.
///
/// # Errors
/// If the connection breaks, or makes no sense any more.
pub(super) fn serve<F: Fetch>(
    kernel: &mut (impl Read + Write),
    size: u64,
    cache: &mut Cache<F>,
) -> Result<(), String> {
    let mut buffer = Vec::new();
    loop {
        let Some(request) = next(kernel)? else { return Ok(()) };
        let error = match request.command(size)? {
            Command::Disconnect => return Ok(()),
            Command::Flush => None,
            Command::Refused(error) => Some(error),
            Command::Read(range) => {
                let len = usize::try_from(range.end - range.start).unwrap_or_default();
                buffer.resize(len.min(LEN_MAX as usize), 0);
                let read = buffer
                    .chunks_mut(PART)
                    .zip((range.start..).step_by(PART))
                    .try_for_each(|(part, at)| cache.read(at, part));
                if read.is_ok() {
                    let reply = request.reply(None);
                    send(kernel, reply.as_bytes()).and_then(|()| send(kernel, &buffer))?;
                    continue;
                }
                Some(Errno::Io)
            }
        };
        send(kernel, request.reply(error).as_bytes())?;
    }
}

/// The next request; `None`: the kernel has let go of the device.
fn next(kernel: &mut impl Read) -> Result<Option<NbdRequest>, String> {
    let mut bytes = [0; size_of::<NbdRequest>()];
    match kernel.read_exact(&mut bytes) {
        Ok(()) => NbdRequest::read_from_bytes(&bytes).map(Some).map_err(|error| error.to_string()),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(broken(&error)),
    }
}

fn send(kernel: &mut impl Write, bytes: &[u8]) -> Result<(), String> {
    kernel.write_all(bytes).map_err(|error| broken(&error))
}

fn broken(error: &io::Error) -> String {
    format!("the kernel does not take its answer: {error}")
}

#[cfg(test)]
mod tests {
    use std::ops::Range;
    use std::os::unix::net::UnixStream;
    use std::thread;

    use super::super::request::testing::request;
    use super::*;
    use crate::update::source::http::tests::{content, server::Server};
    use crate::update::source::{Source, open_web};

    const LEN: u64 = 300_000;
    const SIZE: u64 = LEN.next_multiple_of(512);

    struct Web(Box<dyn Source>);

    impl Fetch for Web {
        fn fetch(&mut self, range: Range<u64>) -> Result<Box<dyn Read + '_>, String> {
            self.0.open("root.erofs", range)
        }
    }

    /// A kernel's end of a device with the root of a web server.
    fn device(url: String) -> (UnixStream, thread::JoinHandle<Result<(), String>>) {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let served = thread::spawn(move || {
            serve(&mut theirs, SIZE, &mut Cache::new(Web(open_web(&url).unwrap()), LEN))
        });
        (ours, served)
    }

    fn ask(kernel: &mut UnixStream, kind: u32, range: Range<u64>) -> (u32, Vec<u8>) {
        let len = (range.end - range.start) as u32;
        kernel.write_all(request(kind, range.start, len).as_bytes()).unwrap();
        let mut head = [0; 16];
        kernel.read_exact(&mut head).unwrap();
        assert_eq!((&head[..4], &head[8..]), (&b"\x67\x44\x66\x98"[..], &b"a cookie"[..]));
        let error = u32::from_be_bytes(head[4..8].try_into().unwrap());
        let mut bytes = vec![0; if error == 0 && kind == 0 { len as usize } else { 0 }];
        kernel.read_exact(&mut bytes).unwrap();
        (error, bytes)
    }

    #[test]
    fn the_root_is_read_over_http_as_it_is_needed() {
        let server = Server::new(|request, stream| request.file(&content(LEN as usize), stream));
        let (mut kernel, served) = device(server.url.clone());
        let (all, size) = (content(LEN as usize), SIZE as usize);
        assert_eq!(ask(&mut kernel, 0, 1024..1536), (0, all[1024..1536].to_vec()));
        assert_eq!(server.requests(), 1);
        let (error, last) = ask(&mut kernel, 0, SIZE - 512..SIZE);
        assert_eq!((error, &last[..LEN as usize - (size - 512)]), (0, &all[size - 512..]));
        assert_eq!(ask(&mut kernel, 0, 0..1024), (0, all[..1024].to_vec()));
        assert_eq!(ask(&mut kernel, 3, 0..0).0, 0);
        drop(kernel);
        assert_eq!(served.join().unwrap(), Ok(()));
    }

    #[test]
    fn hostile_requests_are_refused_or_end_it() {
        let server = Server::new(|request, stream| request.file(&content(LEN as usize), stream));
        let (mut kernel, served) = device(server.url.clone());
        assert_eq!(ask(&mut kernel, 0, SIZE..SIZE + 512).0, 22);
        assert_eq!(ask(&mut kernel, 0, 0..u64::from(LEN_MAX) + 1).0, 22);
        assert_eq!(ask(&mut kernel, 4, 0..512).0, 22);
        // It goes on with what makes sense, and ends with what does not.
        assert_eq!(ask(&mut kernel, 0, 0..512).0, 0);
        kernel.write_all(&[0xa5; 28]).unwrap();
        assert!(served.join().unwrap().unwrap_err().contains("no sense"));
    }

    #[test]
    fn a_request_that_is_cut_is_an_end() {
        let server = Server::new(|request, stream| request.file(&content(LEN as usize), stream));
        let (mut kernel, served) = device(server.url.clone());
        kernel.write_all(&request(0, 0, 512).as_bytes()[..20]).unwrap();
        drop(kernel);
        assert_eq!(served.join().unwrap(), Ok(()));
        assert_eq!(server.requests(), 0);
    }

    #[test]
    fn what_the_server_has_not_is_an_error_of_the_device() {
        let server = Server::new(|request, stream| request.file(&content(1000), stream));
        let (mut kernel, _served) = device(server.url.clone());
        assert_eq!(ask(&mut kernel, 0, 0..512).0, 5);
    }
}
