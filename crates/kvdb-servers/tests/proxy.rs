//! The proxy in front of a server that sends back what it gets.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use kvdb_servers::Proxy;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const LONG: Duration = Duration::from_secs(10);
const SHORT: Duration = Duration::from_millis(100);

struct Echo {
    port: u16,
    heard: Arc<AtomicU64>,
}

fn echo() -> Echo {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let heard = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&heard);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, count) = (stream.unwrap(), Arc::clone(&count));
            thread::spawn(move || {
                let mut buffer = [0; 4096];
                while let Ok(read @ 1..) = stream.read(&mut buffer) {
                    count.fetch_add(read as u64, Ordering::SeqCst);
                    if stream.write_all(&buffer[..read]).is_err() {
                        break;
                    }
                }
            });
        }
    });
    Echo { port, heard }
}

fn connect(proxy: &Proxy) -> TcpStream {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, proxy.port())).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    stream
}

fn echoed(mut stream: &TcpStream, text: &[u8]) {
    stream.write_all(text).unwrap();
    let mut answer = vec![0; text.len()];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(answer, text);
}

fn read_error(mut stream: &TcpStream) -> ErrorKind {
    stream.read(&mut [0; 16]).unwrap_err().kind()
}

fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + LONG;
    while !condition() {
        assert!(Instant::now() < end, "never: {what}");
        thread::yield_now();
    }
}

#[test]
fn what_is_forwarded_is_counted() {
    let (server, text) = (echo(), vec![7; 100_000]);
    let proxy = Proxy::start(server.port).unwrap();
    let one = connect(&proxy);
    let mut sender = one.try_clone().unwrap();
    let writer = thread::spawn(move || sender.write_all(&vec![7; 100_000]).unwrap());
    let mut answer = vec![0; text.len()];
    (&one).read_exact(&mut answer).unwrap();
    writer.join().unwrap();
    assert_eq!(answer, text);
    echoed(&connect(&proxy), b"x");
    eventually("all bytes are counted", || (proxy.bytes_up(), proxy.bytes_down()) == (100_001, 100_001));
    assert_eq!(proxy.connections(), 2);

    one.shutdown(Shutdown::Write).unwrap();
    assert_eq!((&one).read(&mut [0; 1]).unwrap(), 0, "an orderly end goes through");
    eventually("both connections are over", || proxy.open() == 0);
}

#[test]
fn a_cut_resets_and_refuses_until_healed() {
    let server = echo();
    let proxy = Proxy::start(server.port).unwrap();
    let old = connect(&proxy);
    echoed(&old, b"before");

    for _ in 0..20 {
        proxy.cut().unwrap();
        let refused = TcpStream::connect((Ipv4Addr::LOCALHOST, proxy.port())).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        proxy.heal().unwrap();
        echoed(&connect(&proxy), b"after");
    }
    assert_eq!(read_error(&old), ErrorKind::ConnectionReset);
}

#[test]
fn a_stalled_connection_says_nothing_and_then_goes_on() {
    let server = echo();
    let proxy = Proxy::start(server.port).unwrap();
    let old = connect(&proxy);
    echoed(&old, b"before");
    proxy.stall();
    let new = connect(&proxy);
    for mut stream in [&old, &new] {
        stream.write_all(b"held").unwrap();
        stream.set_read_timeout(Some(SHORT)).unwrap();
        assert_eq!(read_error(stream), ErrorKind::WouldBlock);
    }
    assert_eq!(server.heard.load(Ordering::SeqCst), 6);

    proxy.heal().unwrap();
    for mut stream in [&old, &new] {
        stream.set_read_timeout(Some(LONG)).unwrap();
        let mut answer = [0; 4];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"held");
    }
}

#[test]
fn dropped_replies_were_heard_by_the_server_and_then_the_connection_is_reset() {
    let server = echo();
    let proxy = Proxy::start(server.port).unwrap();
    let mut stream = &connect(&proxy);
    echoed(stream, b"before");
    proxy.drop_replies(SHORT);
    stream.write_all(b"lost").unwrap();
    assert_eq!(read_error(stream), ErrorKind::ConnectionReset);
    assert_eq!(server.heard.load(Ordering::SeqCst), 10);
    assert_eq!((proxy.bytes_down(), proxy.bytes_swallowed()), (6, 4));

    let hold = Duration::from_secs(3600);
    proxy.drop_replies(hold);
    let held = &connect(&proxy);
    (&*held).write_all(b"lost").unwrap();
    eventually("the answer is swallowed", || proxy.bytes_swallowed() == 8);
    proxy.heal().unwrap();
    assert_eq!(read_error(held), ErrorKind::ConnectionReset, "what lost an answer does not go on");
    echoed(&connect(&proxy), b"after");
}

#[test]
fn a_connection_is_reset_after_so_many_bytes_of_answers() {
    let server = echo();
    let proxy = Proxy::start(server.port).unwrap();
    proxy.reset_after(10);
    let mut stream = &connect(&proxy);
    echoed(stream, b"12345678");
    stream.write_all(b"abcdef").unwrap();
    eventually("the connection is reset", || proxy.open() == 0);
    assert_eq!(proxy.bytes_down(), 10);
    eventually("the client sees it", || stream.write_all(b"x").is_err());
}

#[test]
fn half_closed_the_client_reads_the_end_and_the_server_still_hears() {
    let server = echo();
    let proxy = Proxy::start(server.port).unwrap();
    let mut stream = &connect(&proxy);
    echoed(stream, b"before");
    proxy.half_close();
    assert_eq!(stream.read(&mut [0; 1]).unwrap(), 0);
    stream.write_all(b"still").unwrap();
    eventually("the server hears it", || server.heard.load(Ordering::SeqCst) == 11);
}

#[test]
fn a_delay_and_a_rate_take_at_least_their_time() {
    let server = echo();
    let proxy = Proxy::start(server.port).unwrap();
    let stream = connect(&proxy);
    echoed(&stream, b"before");

    proxy.delay(SHORT);
    let begin = Instant::now();
    echoed(&stream, b"x");
    assert!(begin.elapsed() >= 2 * SHORT, "both ways");
    proxy.heal().unwrap();

    proxy.limit(100);
    let begin = Instant::now();
    echoed(&stream, &[1; 41]);
    assert!(begin.elapsed() >= 4 * SHORT, "four pieces of ten bytes come before the last one");
    proxy.limit(1);
    (&stream).write_all(&[1; 1000]).unwrap();
    proxy.heal().unwrap();
    (&stream).read_exact(&mut [0; 1000]).unwrap();
}

#[test]
fn a_client_that_resets_takes_the_servers_side_along() {
    let server = echo();
    let proxy = Proxy::start(server.port).unwrap();
    let mut stream = connect(&proxy);
    stream.write_all(b"unread answer").unwrap();
    eventually("the answer is there", || proxy.bytes_down() == 13);
    drop(stream);
    eventually("the connection is over", || proxy.open() == 0);
}

#[test]
fn http_requests_are_counted() {
    let server = echo();
    let proxy = Proxy::start(server.port).unwrap();
    let stream = connect(&proxy);
    echoed(&stream, b"PUT /v1/kv/a?x HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc");
    echoed(&stream, b"GET /v1/kv/a HTTP/1.1\r\n\r\nGET /v1/status/leader HTTP/1.1\r\n\r\n");
    eventually("both GETs are counted", || proxy.requests("GET", "/v1/") == 2);
    assert_eq!(proxy.requests("PUT", "/v1/kv/"), 1);
    assert_eq!(proxy.requests("GET", "/v1/kv/"), 1);
}

#[test]
fn a_server_that_is_not_there_shows_as_a_reset() {
    let proxy = Proxy::start(kvdb_servers::ports::free(1).unwrap()[0]).unwrap();
    assert_eq!(read_error(&connect(&proxy)), ErrorKind::ConnectionReset);
}
