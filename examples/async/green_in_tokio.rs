//! Green threads in a tokio program: a greenlit runtime on an OS thread of its own, to which tokio's tasks
//! give work by a `Handle`, and whose results they await.
//!
//! ```text
//! $ cargo run --release --manifest-path examples/async/Cargo.toml --bin green_in_tokio
//! 1 + 2 + … + 100 = 5050
//! the echo came back: "ping"
//! a future that is not `Send`: 8
//! what took too long: cancelled: tokio has waited long enough
//! a panic is an error: "no such luck"
//! after the end: cancelled: the run has ended
//! ```

use greenlit::cancel::Cancelled;
use greenlit::io::{Read, Write};
use greenlit::net::{TcpListener, TcpStream};
use greenlit::sync::Event;
use greenlit::{Handle, Runtime, future, thread};
use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

fn main() -> io::Result<()> {
    let tokio = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()?;
    tokio.block_on(async {
        let green = Green::start().await?;
        work_with(&green.handle).await;

        // The end: the main closure returns, the rest is cancelled, the OS thread ends.
        let handle = green.handle.clone();
        green.stop();
        let late = handle.spawn(|| unreachable!("nobody runs it")).await;
        println!("after the end: {}", reason(late.map(|()| "?")));
        Ok(())
    })
}

/// A greenlit runtime on an OS thread of its own.
struct Green {
    handle: Handle,
    quit: Arc<Event>,
    os_thread: std::thread::JoinHandle<()>,
}

impl Green {
    async fn start() -> io::Result<Self> {
        let (send, receive) = tokio::sync::oneshot::channel();
        let quit = Arc::new(Event::new());
        let os_thread = std::thread::Builder::new()
            .name("green".to_owned())
            .spawn({
                let quit = quit.clone();
                move || {
                    // It stays on its OS thread; its handle may go anywhere.
                    let runtime = Runtime::builder().build();
                    let (runtime, handle) = match runtime {
                        Ok(runtime) => {
                            let handle = runtime.handle();
                            (Some(runtime), Ok(handle))
                        }
                        Err(error) => (None, Err(error)),
                    };
                    let _ = send.send(handle);
                    if let Some(mut runtime) = runtime {
                        runtime.run(|| quit.wait());
                    }
                }
            })?;
        let handle = receive.await.expect("it is sent in any case")?;
        Ok(Self {
            handle,
            quit,
            os_thread,
        })
    }

    fn stop(self) {
        self.quit.set();
        self.os_thread.join().expect("the runtime does not panic");
    }
}

async fn work_with(green: &Handle) {
    // 1. A green thread, and green threads of its own: code that blocks, awaited by tokio.
    let sum = green.spawn(|| {
        let halves = [1..=50, 51..=100].map(|half| thread::spawn(move || half.sum::<u32>()));
        halves.map(|half| half.join().unwrap()).iter().sum::<u32>()
    });
    println!("1 + 2 + … + 100 = {}", sum.await.unwrap());

    // 2. Several at once.
    let listener = green
        .spawn(|| TcpListener::bind("127.0.0.1:0"))
        .await
        .unwrap()
        .unwrap();
    let address = listener.local_addr().unwrap();
    let server = green.spawn(move || {
        let (mut stream, _) = listener.accept()?;
        io::copy(&mut stream.try_clone()?, &mut stream)
    });
    let client = green.spawn(move || {
        let mut stream = TcpStream::connect(address)?;
        stream.write_all(b"ping")?;
        stream.shutdown(std::net::Shutdown::Write)?;
        let mut back = String::new();
        stream.read_to_string(&mut back)?;
        Ok::<_, io::Error>(back)
    });
    println!("the echo came back: {:?}", client.await.unwrap().unwrap());
    assert_eq!(server.await.unwrap().unwrap(), 4);

    // 3. A future that lives on the other OS thread.
    let local = green.spawn_future(|| async {
        let shared = Rc::new(Cell::new(1));
        for _ in 0..3 {
            future::yield_now().await;
            shared.set(shared.get() * 2);
        }
        shared.get()
    });
    println!("a future that is not `Send`: {}", local.await.unwrap());

    // 4. tokio's deadline, and a cancel across: the green thread unwinds.
    let mut endless = green.spawn(thread::park);
    let late = tokio::time::timeout(Duration::from_millis(10), &mut endless).await;
    assert!(late.is_err());
    endless.cancel("tokio has waited long enough");
    println!(
        "what took too long: {}",
        reason(endless.await.map(|()| "?"))
    );

    // 5. A panic there is an error here.
    let panicked = green
        .spawn(|| std::panic::resume_unwind(Box::new("no such luck")))
        .await;
    let payload = panicked.map(|()| "?").unwrap_err();
    println!(
        "a panic is an error: {:?}",
        payload.downcast_ref::<&str>().unwrap()
    );
}

fn reason(result: std::thread::Result<&str>) -> String {
    match result {
        Ok(value) => value.to_owned(),
        Err(payload) => match payload.downcast::<Cancelled>() {
            Ok(cancelled) => cancelled.to_string(),
            Err(_) => "it panicked".to_owned(),
        },
    }
}
