//! Redis over greenlit's streams: the redis crate's commands against a real `redis-server`, a
//! hundred connections on one OS thread.

mod redis_connection;
mod redis_server;

use greenlit::blocking;
use greenlit::net::TcpStream;
use greenlit::os::unix::net::UnixStream;
use greenlit::thread::{self, Scope, ScopedJoinHandle};
use greenlit::time::{Duration, Instant};
use greenlit_real::gate::together;
use redis::{Commands, ConnectionLike, RedisResult, Value, cmd, pipe, transaction};
use redis_connection::Connection;
use redis_server::RedisServer;
use std::cell::Cell;
use std::io::{Read, Write};

/// How many connections wait at once.
const MANY: usize = 100;

/// How long the server may take to show what it was sent, before a test is said to have failed.
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn a_hundred_pops_wait_until_there_is_a_push() {
    greenlit::run(|| {
        let server = RedisServer::start();
        let mut connection = connect(&server);
        thread::scope(|scope| {
            let popping = pop_at_once(scope, &server);
            // The server itself says how many wait, and nothing was pushed so far.
            wait_for_blocked(&mut connection, MANY);
            assert!(popping.iter().all(|popping| !popping.is_finished()));
            for number in 0..MANY {
                let _: usize = connection.lpush("list", number).unwrap();
            }
            let popped = popping.into_iter().map(|popping| {
                let (key, number) = popping.join().unwrap().unwrap().expect("no timeout");
                assert_eq!(key, "list");
                number
            });
            let mut popped: Vec<usize> = popped.collect();
            popped.sort_unstable();
            assert!(popped.into_iter().eq(0..MANY));
        });
    });
}

/// The crate's own connection, which blocks: on `blocking`'s threads it stalls nobody either.
#[test]
fn the_crates_own_connection_waits_elsewhere() {
    greenlit::run(|| {
        let server = RedisServer::start();
        let mut connection = connect(&server);
        let url = format!("redis://{}", server.address);
        thread::scope(|scope| {
            let popping: Vec<_> = (0..10)
                .map(|_| {
                    let url = url.clone();
                    scope.spawn(move || {
                        blocking::unblock(move || -> RedisResult<(String, usize)> {
                            let client = redis::Client::open(url)?;
                            client.get_connection()?.blpop("list", 0.0)
                        })
                    })
                })
                .collect();
            wait_for_blocked(&mut connection, popping.len());
            for number in 0..popping.len() {
                let _: usize = connection.lpush("list", number).unwrap();
            }
            for popping in popping {
                assert_eq!(popping.join().unwrap().unwrap().0, "list");
            }
        });
    });
}

#[test]
fn a_message_reaches_a_hundred_subscribers() {
    greenlit::run(|| {
        let server = RedisServer::start();
        let mut connection = connect(&server);
        let heard = Cell::new(0);
        thread::scope(|scope| {
            for _ in 0..MANY {
                let heard = &heard;
                let mut connection = connect(&server);
                scope.spawn(move || {
                    let subscribe = cmd("SUBSCRIBE").arg("news").get_packed_command();
                    connection.send(&subscribe).unwrap();
                    for expected in ["first", "second"] {
                        let message = connection.message().unwrap();
                        assert_eq!(message.get_channel_name(), "news");
                        assert_eq!(message.get_payload::<String>().unwrap(), expected);
                        heard.set(heard.get() + 1);
                    }
                });
            }
            wait_until("all have subscribed", || {
                let mut count = cmd("PUBSUB");
                let count = count.arg("NUMSUB").arg("news").query(&mut connection);
                let (_channel, count): (String, usize) = count.unwrap();
                count == MANY
            });
            assert_eq!(heard.get(), 0);
            for message in ["first", "second"] {
                let receivers: usize = connection.publish("news", message).unwrap();
                assert_eq!(receivers, MANY);
            }
        });
        assert_eq!(heard.get(), 2 * MANY);
    });
}

/// A connection that has subscribed to a pattern hears what it asked for, in order, and serves
/// commands again when it has unsubscribed.
#[test]
fn a_subscriber_to_a_pattern_goes_back_to_commands() {
    greenlit::run(|| {
        let server = RedisServer::start();
        let (mut connection, mut subscriber) = (connect(&server), connect(&server));
        let pack = |name: &str| cmd(name).arg("n*s").get_packed_command();
        subscriber.send(&pack("PSUBSCRIBE")).unwrap();
        // Its answer.
        subscriber.receive().unwrap();
        for (channel, message) in [("news", "one"), ("other", "two"), ("nets", "three")] {
            let _: usize = connection.publish(channel, message).unwrap();
        }
        for (channel, expected) in [("news", "one"), ("nets", "three")] {
            let message = subscriber.message().unwrap();
            assert_eq!(message.get_channel_name(), channel);
            assert_eq!(message.get_pattern::<String>().unwrap(), "n*s");
            assert_eq!(message.get_payload::<String>().unwrap(), expected);
        }
        subscriber.send(&pack("PUNSUBSCRIBE")).unwrap();
        subscriber.receive().unwrap();
        assert!(subscriber.check_connection());
    });
}

#[test]
fn commands_and_pipelines_of_a_hundred_connections() {
    greenlit::run(|| {
        let server = RedisServer::start();
        together(MANY, |number| use_it(connect(&server), number));
    });
}

#[test]
fn a_unix_socket_carries_it_too() {
    greenlit::run(|| {
        let server = RedisServer::start();
        let stream = UnixStream::connect(server.socket()).unwrap();
        use_it(Connection::new(stream), 1);
    });
}

/// Each adds ten to one number, over and over until no other one came between.
#[test]
fn transactions_are_repeated_until_nobody_interferes() {
    greenlit::run(|| {
        let server = RedisServer::start();
        let attempts = Cell::new(0);
        together(10, |_| {
            let mut connection = connect(&server);
            for _ in 0..10 {
                let add = transaction(&mut connection, &["sum"], |connection, pipe| {
                    attempts.set(attempts.get() + 1);
                    let sum: Option<usize> = connection.get("sum")?;
                    pipe.set("sum", sum.unwrap_or(0) + 1).ignore();
                    pipe.get("sum").query(connection)
                });
                let _: (usize,) = add.unwrap();
            }
        });
        let sum: usize = connect(&server).get("sum").unwrap();
        assert_eq!(sum, 100);
        // Those that lost to another one show that they were under way at once.
        assert!(attempts.get() > 100, "{} attempts", attempts.get());
    });
}

#[test]
fn timeouts_of_the_servers_and_of_the_streams() {
    greenlit::run(|| {
        let server = RedisServer::start();
        let mut connection = connect(&server);
        let nothing: Option<(String, String)> = connection.blpop("list", 0.05).unwrap();
        assert_eq!(nothing, None);

        let mut popping = connect(&server);
        let timeout = Some(Duration::from_millis(50));
        popping.stream.set_read_timeout(timeout).unwrap();
        let timed_out: RedisResult<Value> = popping.blpop("list", 0.0);
        let error = timed_out.unwrap_err();
        assert!(error.is_timeout(), "{error}");
        // The answer is due still, and nothing of it was lost.
        popping.stream.set_read_timeout(None).unwrap();
        let _: usize = connection.lpush("list", "late").unwrap();
        let late: (String, String) = redis::from_redis_value(popping.receive().unwrap()).unwrap();
        assert_eq!(late, ("list".to_owned(), "late".to_owned()));
    });
}

#[test]
fn a_server_that_dies_ends_all_waits() {
    greenlit::run(|| {
        let mut server = RedisServer::start();
        let mut connection = connect(&server);
        thread::scope(|scope| {
            let popping = pop_at_once(scope, &server);
            wait_for_blocked(&mut connection, MANY);
            server.kill();
            for popping in popping {
                let error = popping.join().unwrap().unwrap_err();
                assert!(error.is_io_error(), "{error:?}");
            }
        });
        assert!(!connection.check_connection());
        assert!(!connection.is_open());
    });
}

fn connect(server: &RedisServer) -> Connection<TcpStream> {
    Connection::new(TcpStream::connect(server.address).unwrap())
}

/// What a pop brings: the list's name and the value, or nothing when its time is over.
type Popped = RedisResult<Option<(String, usize)>>;

/// Has a hundred green threads pop from one empty list, each over a connection of its own.
fn pop_at_once<'scope, 'env>(
    scope: &'scope Scope<'scope, 'env>,
    server: &RedisServer,
) -> Vec<ScopedJoinHandle<'scope, Popped>> {
    let pop = |mut connection: Connection<TcpStream>| connection.blpop("list", 0.0);
    let connections = (0..MANY).map(|_| connect(server));
    connections
        .map(|connection| scope.spawn(move || pop(connection)))
        .collect()
}

/// Asks the server until `count` of its clients wait for a list.
fn wait_for_blocked(connection: &mut Connection<TcpStream>, count: usize) {
    let wanted = format!("blocked_clients:{count}\r\n");
    wait_until(&wanted, || {
        let info: String = cmd("INFO").arg("clients").query(connection).unwrap();
        info.contains(&wanted)
    });
}

/// Asks until the answer is yes. Each question is a round trip, during which others run.
fn wait_until(what: &str, mut ask: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !ask() {
        assert!(Instant::now() < end, "never: {what}");
    }
}

/// Commands of each kind, over one connection.
fn use_it<S: Read + Write>(mut connection: Connection<S>, number: usize) {
    let key = |name: &str| format!("{name}:{number}");
    let bytes = vec![number as u8; 300 * 1024];
    let _: () = connection.set(key("bytes"), &bytes).unwrap();
    let back: Vec<u8> = connection.get(key("bytes")).unwrap();
    assert!(back == bytes, "{number}");
    assert_eq!(
        connection.get::<_, Option<String>>(key("none")).unwrap(),
        None
    );

    // One write, a thousand answers.
    let mut pipeline = pipe();
    for _ in 0..1000 {
        pipeline.incr(key("count"), 1);
    }
    let counts: Vec<usize> = pipeline.query(&mut connection).unwrap();
    assert!(counts.into_iter().eq(1..=1000));

    // What the server refuses is an error, and harms nothing.
    let refused: RedisResult<usize> = connection.incr(key("bytes"), 1);
    assert!(refused.is_err(), "{refused:?}");
    let atomic = pipe()
        .atomic()
        .incr(key("count"), 1)
        .get(key("count"))
        .query(&mut connection);
    let atomic: (usize, usize) = atomic.unwrap();
    assert_eq!(atomic, (1001, 1001));
    assert!(connection.check_connection() && connection.is_open());
}
