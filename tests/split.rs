//! `io::split` and `io::copy_bidirectional`: streams that are read and written at once.

use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;

use greenlit::io::{Source, copy_bidirectional, split};
use greenlit::net::{TcpListener, TcpStream};
use greenlit::os::unix::net::UnixStream;
use greenlit::{run, thread};

fn pair() -> (UnixStream, UnixStream) {
    UnixStream::pair().unwrap()
}

fn bytes(seed: u8) -> Vec<u8> {
    (0..400_000_u32)
        .map(|n| (n as u8).wrapping_mul(seed))
        .collect()
}

#[test]
fn smoke() {
    run(|| {
        let (stream, mut peer) = pair();
        let (mut reader, mut writer) = split(stream);
        writer.write_all(b"out").unwrap();
        peer.write_all(b"in").unwrap();
        let mut both = [0; 3];
        peer.read_exact(&mut both).unwrap();
        assert_eq!(&both, b"out");
        assert_eq!(reader.read(&mut both).unwrap(), 2);
    });
}

/// Behaviour 33: the halves wait each in its own direction, in green threads of their own.
#[test]
fn halves_wait_on_their_own() {
    run(|| {
        let (stream, peer) = pair();
        let (mut reader, mut writer) = split(stream);
        let reads = thread::spawn(move || {
            let mut got = Vec::new();
            reader.by_ref().take(400_000).read_to_end(&mut got).unwrap();
            (reader, got)
        });
        let writes = thread::spawn(move || {
            writer.write_all(&bytes(3)).unwrap();
            writer
        });
        thread::yield_now();
        assert!(!reads.is_finished() && !writes.is_finished());
        let peer_writes = thread::scope(|scope| {
            let writes = scope.spawn(|| (&peer).write_all(&bytes(5)));
            let mut got = Vec::new();
            (&peer).take(400_000).read_to_end(&mut got).unwrap();
            assert!(got == bytes(3));
            writes.join().unwrap()
        });
        peer_writes.unwrap();
        let (reader, got) = reads.join().unwrap();
        assert!(got == bytes(5));
        // Together again, it is the stream that it was.
        let writer = writes.join().unwrap();
        assert!(reader.is_pair_of(&writer));
        let mut stream = reader.unsplit(writer);
        stream.write_all(b"!").unwrap();
    });
}

#[test]
#[should_panic(expected = "the two halves are of different streams")]
fn halves_of_two_streams_are_not_put_together() {
    let (first, second) = pair();
    let ((reader, _), (_, writer)) = (split(first), split(second));
    let _ = reader.unsplit(writer);
}

/// A client that says it is done still gets the whole answer through the proxy.
#[test]
fn a_proxy_passes_both_directions_and_their_ends() {
    run(|| {
        let (server_at, proxy_at) = (
            TcpListener::bind("127.0.0.1:0").unwrap(),
            TcpListener::bind("127.0.0.1:0").unwrap(),
        );
        let (server, proxy) = (
            server_at.local_addr().unwrap(),
            proxy_at.local_addr().unwrap(),
        );
        let serves = thread::spawn(move || {
            let (mut stream, _) = server_at.accept().unwrap();
            let mut asked = Vec::new();
            stream.read_to_end(&mut asked).unwrap();
            stream.write_all(&bytes(7)).unwrap();
            asked
        });
        let passes = thread::spawn(move || {
            let (client, _) = proxy_at.accept().unwrap();
            let server = TcpStream::connect(server).unwrap();
            copy_bidirectional(&client, &server).unwrap()
        });
        let mut client = TcpStream::connect(proxy).unwrap();
        client.write_all(b"a question").unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).unwrap();
        assert!(answer == bytes(7));
        assert_eq!(serves.join().unwrap(), b"a question");
        assert_eq!(passes.join().unwrap(), (10, 400_000));
    });
}

/// What fails in one direction ends the other, which would wait for ever.
#[test]
fn an_error_ends_both_directions() {
    run(|| {
        let ((a, mut client), (b, server)) = (pair(), pair());
        let passes = thread::spawn(move || copy_bidirectional(&a, &b).unwrap_err().kind());
        thread::yield_now();
        // Nobody takes what goes to the server any more, and the client never ends.
        server.shutdown(Shutdown::Read).unwrap();
        client.write_all(b"to nobody").unwrap();
        assert_eq!(passes.join().unwrap(), ErrorKind::BrokenPipe);
        assert_eq!(client.read(&mut [0]).unwrap(), 0);
        drop(server);
    });
}

/// A cancel ends both directions.
#[test]
fn a_cancel_ends_both_directions() {
    run(|| {
        let ((a, client), (b, server)) = (pair(), pair());
        thread::spawn(move || copy_bidirectional(&a, &b));
        thread::yield_now();
        (&client).write_all(b"through").unwrap();
        let mut through = [0; 7];
        (&server).read_exact(&mut through).unwrap();
        assert_eq!(&through, b"through");
    });
}

/// A generic function that asks for what a shared reference does compiles beside `Source`, though
/// its argument's type is not known yet when the compiler looks.
#[test]
fn a_bound_on_shared_references_is_resolved() {
    fn exchange<S>(stream: &S) -> usize
    where
        for<'a> &'a S: Read + Write,
    {
        let mut stream = stream;
        stream.write_all(b"abc").unwrap();
        stream.read(&mut [0; 8]).unwrap()
    }
    let (here, there) = pair();
    (&there).write_all(b"de").unwrap();
    assert_eq!(exchange(&here), 2);
    let (here, there) = std::os::unix::net::UnixStream::pair().unwrap();
    (&there).write_all(b"fgh").unwrap();
    assert_eq!(exchange(&Source::new(here).unwrap()), 3);
}

#[test]
fn outside_a_runtime_os_threads_pass() {
    let ((a, client), (b, server)) = (pair(), pair());
    let passes = std::thread::spawn(move || copy_bidirectional(&a, &b).unwrap());
    (&client).write_all(b"one").unwrap();
    (&server).write_all(b"three").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    server.shutdown(Shutdown::Write).unwrap();
    assert_eq!(io::read_to_string(&client).unwrap(), "three");
    assert_eq!(io::read_to_string(&server).unwrap(), "one");
    assert_eq!(passes.join().unwrap(), (3, 5));
}
