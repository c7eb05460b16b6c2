//! Futures that other executors and frameworks may ask to be `Send`: those of streams, channels, locks
//! and timers, held across an await.

use std::future::Future;
use std::pin::Pin;

use futures_io::{AsyncRead, AsyncWrite};
use greenlit::net::{TcpListener, TcpStream, UdpSocket};
use greenlit::sync::{Event, Mutex, Semaphore, mpmc, mpsc, oneshot};
use greenlit::time::Duration;
use greenlit::{blocking, future};

type Boxed = Pin<Box<dyn Future<Output = ()> + Send>>;

async fn read_some(mut stream: TcpStream) -> std::io::Result<usize> {
    let mut buffer = [0; 16];
    std::future::poll_fn(|context| Pin::new(&mut stream).poll_read(context, &mut buffer)).await?;
    std::future::poll_fn(|context| Pin::new(&mut stream).poll_write(context, b"answer")).await
}

#[test]
fn what_services_await_is_send() {
    let services: Vec<Boxed> = vec![
        Box::pin(future::sleep(Duration::ZERO)),
        Box::pin(async {
            let _ = future::timeout(Duration::from_secs(1), future::sleep(Duration::ZERO)).await;
        }),
        Box::pin(async {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let (stream, _) = listener.accept_async().await.unwrap();
            let _ = read_some(stream).await;
        }),
        Box::pin(async {
            let stream = TcpStream::connect_async("127.0.0.1:1").await.unwrap();
            future::readable(&stream).await.unwrap();
        }),
        Box::pin(async {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            let mut buffer = [0; 16];
            let _ = socket.recv_from_async(&mut buffer).await;
        }),
        Box::pin(async {
            let (sender, receiver) = mpsc::sync_channel(1);
            sender.send_async(1).await.unwrap();
            assert_eq!(receiver.recv_async().await, Ok(1));
        }),
        Box::pin(async {
            let (sender, receiver) = mpmc::channel();
            sender.send(1).unwrap();
            assert_eq!(receiver.recv_async().await, Ok(1));
        }),
        Box::pin(async {
            let (sender, receiver) = oneshot::channel::<u8>();
            drop(sender);
            receiver.recv_async().await.unwrap_err();
        }),
        Box::pin(async {
            let lock = Mutex::new(1);
            *lock.lock_async().await.unwrap() += 1;
        }),
        Box::pin(async {
            let semaphore = Semaphore::new(1);
            let _permit = semaphore.acquire_async().await;
            future::yield_now().await;
        }),
        Box::pin(async { Event::new().wait_async().await }),
        Box::pin(async {
            blocking::unblock_async(|| ()).await;
        }),
        Box::pin(async {
            let promise = future::Promise::<u8>::new();
            promise.set(1).unwrap();
            assert_eq!(promise.await.unwrap(), 1);
        }),
    ];
    // Those that end by themselves do, in a runtime.
    greenlit::run(|| {
        for service in services {
            drop(future::spawn(service));
        }
    });
}
