//! hyper's runtime traits on greenlit's types, each by itself.

use futures_io::{AsyncRead, AsyncWrite};
use greenlit::hyper::{Executor, Io, Timer};
use greenlit::net::{TcpListener, TcpStream};
use greenlit::os::unix::net::UnixStream;
use greenlit::time::{Duration, Instant};
use greenlit::{future, thread};
use hyper::rt::{self, Executor as _, Read, ReadBuf, Timer as _, Write};
use std::cell::Cell;
use std::future::poll_fn;
use std::io::{self, IoSlice, Write as _};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

/// The examples in the documentation of what the feature adds run in no other build.
#[test]
fn the_documentation_holds() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut cargo = std::process::Command::new(env!("CARGO"));
    cargo.args([
        "test",
        "--quiet",
        "--doc",
        "--features",
        "hyper",
        "src/hyper/",
    ]);
    let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or("target".into());
    cargo.env("CARGO_TARGET_DIR", root.join(target));
    let output = greenlit_real::run(cargo.current_dir(&root));
    let said = greenlit_real::text(&output);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("test result: ok. 1 passed"), "{said}");
}

/// Reads once, into memory that is not initialised, behind what is in it already.
fn read_behind<S: Read + Unpin>(stream: &mut S, before: &[u8], room: usize) -> io::Result<Vec<u8>> {
    let mut memory = vec![MaybeUninit::uninit(); before.len() + room];
    let mut buf = ReadBuf::uninit(&mut memory);
    buf.unfilled().put_slice(before);
    future::block_on(poll_fn(|context| {
        Pin::new(&mut *stream).poll_read(context, buf.unfilled())
    }))?;
    Ok(buf.filled().to_vec())
}

fn write<S: Write + Unpin>(stream: &mut S, bufs: &[&[u8]]) -> io::Result<usize> {
    let bufs: Vec<_> = bufs.iter().map(|buf| IoSlice::new(buf)).collect();
    future::block_on(poll_fn(|context| {
        Pin::new(&mut *stream).poll_write_vectored(context, &bufs)
    }))
}

fn shut_down<S: Write + Unpin>(stream: &mut S) -> io::Result<()> {
    future::block_on(poll_fn(|context| {
        Pin::new(&mut *stream).poll_flush(context)
    }))?;
    future::block_on(poll_fn(|context| {
        Pin::new(&mut *stream).poll_shutdown(context)
    }))
}

fn tcp_pair() -> io::Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let client = TcpStream::connect(listener.local_addr()?)?;
    Ok((client, listener.accept()?.0))
}

/// What hyper does with a stream, beside a peer that reads and writes as std does.
fn converse<S: Read + Write + Unpin>(
    mut ours: S,
    mut peer: impl io::Read + io::Write,
) -> io::Result<()> {
    assert!(ours.is_write_vectored());
    assert_eq!(write(&mut ours, &[b"ab", b"", b"cde"])?, 5);
    let mut five = [0; 5];
    peer.read_exact(&mut five)?;
    assert_eq!(&five, b"abcde");

    peer.write_all(b"0123456789")?;
    assert_eq!(read_behind(&mut ours, b"before ", 4)?, b"before 0123");
    assert_eq!(read_behind(&mut ours, b"", 100)?, b"456789");
    // No room: that is no end.
    assert_eq!(read_behind(&mut ours, b"", 0)?, b"");

    shut_down(&mut ours)?;
    assert_eq!(peer.read(&mut five)?, 0);
    drop(peer);
    assert_eq!(read_behind(&mut ours, b"", 100)?, b"");
    Ok(())
}

#[test]
fn our_streams_are_hypers() {
    greenlit::run(|| -> io::Result<()> {
        let (ours, peer) = tcp_pair()?;
        converse(ours, peer)?;
        let (ours, peer) = tcp_pair()?;
        converse(&ours, peer)?;
        let (ours, peer) = UnixStream::pair()?;
        converse(ours, peer)?;
        let (ours, peer) = UnixStream::pair()?;
        converse(&ours, peer)?;
        let (ours, peer) = tcp_pair()?;
        converse(Io::new(ours), peer)
    })
    .unwrap();
}

/// A read waits for its bytes, and other tasks run meanwhile.
#[test]
fn a_read_waits_for_what_comes() {
    greenlit::run(|| -> io::Result<()> {
        let (mut ours, mut peer) = tcp_pair()?;
        let reader = thread::spawn(move || read_behind(&mut ours, b"", 9));
        thread::yield_now();
        assert!(!reader.is_finished());
        peer.write_all(b"here")?;
        assert_eq!(reader.join().unwrap()?, b"here");
        Ok(())
    })
    .unwrap();
}

/// A stream of another make: it reads what it is told to, and says that it has read so much.
struct Liar {
    says: usize,
}

impl AsyncRead for Liar {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        assert!(
            buf.iter().all(|byte| *byte == 0),
            "it may look at all of it"
        );
        let count = buf.len().min(self.says);
        buf[..count].fill(b'x');
        Poll::Ready(Ok(self.says))
    }
}

impl AsyncWrite for Liar {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[test]
fn a_stream_that_says_too_much_is_not_believed() {
    let mut honest = Io::new(Liar { says: 4 });
    assert_eq!(read_behind(&mut honest, b"ab", 10).unwrap(), b"abxxxx");
    let mut liar = Io::new(Liar { says: 11 });
    let read = std::panic::AssertUnwindSafe(|| read_behind(&mut liar, b"ab", 10));
    assert!(std::panic::catch_unwind(read).is_err());
    assert_eq!(write(&mut liar, &[b"", b"abc"]).unwrap(), 3);
    liar.get_mut().says += 1;
    assert_eq!(liar.get_ref().says, 12);
    assert_eq!(liar.into_inner().says, 12);
}

#[test]
fn the_executor_runs_what_is_not_send() {
    greenlit::run(|| {
        let ran = Rc::new(Cell::new(0));
        for number in 1..=3 {
            let ran = ran.clone();
            Executor.execute(async move {
                future::yield_now().await;
                ran.set(ran.get() * 10 + number);
                // Its output is dropped.
                ran
            });
        }
        thread::yield_now();
        while ran.get() < 100 {
            thread::yield_now();
        }
        assert_eq!((ran.get(), Rc::strong_count(&ran)), (123, 1));
    });
}

#[test]
fn the_timer_sleeps_and_a_sleep_is_moved() {
    greenlit::run(|| {
        let start = Instant::now();
        future::block_on(Timer.sleep(Duration::from_millis(2)));
        assert!(start.elapsed() >= Duration::from_millis(2));
        future::block_on(Timer.sleep_until((start + Duration::from_millis(4)).into()));
        assert!(start.elapsed() >= Duration::from_millis(4));
        assert!(Timer.now() >= (start + Duration::from_millis(4)).into());

        let start = Instant::now();
        let mut sleep = Timer.sleep(Duration::from_secs(3600));
        let before: *const dyn rt::Sleep = &*sleep;
        Timer.reset(&mut sleep, (start + Duration::from_millis(2)).into());
        assert!(
            std::ptr::addr_eq(before, &*sleep),
            "it is moved, and not made anew"
        );
        future::block_on(sleep.as_mut());
        assert!(start.elapsed() >= Duration::from_millis(2));

        // One that was ready can be set again, and one of another timer's is replaced.
        Timer.reset(&mut sleep, (start + Duration::from_millis(4)).into());
        future::block_on(sleep.as_mut());
        assert!(start.elapsed() >= Duration::from_millis(4));
        let mut foreign: Pin<Box<dyn rt::Sleep>> = Box::pin(Foreign);
        Timer.reset(&mut foreign, start.into());
        future::block_on(foreign);
    });
}

/// A sleep that never ends.
struct Foreign;

impl Future for Foreign {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        Poll::Pending
    }
}

impl rt::Sleep for Foreign {}
