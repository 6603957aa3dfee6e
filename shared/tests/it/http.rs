//! Requests on broken connections, over real sockets.

use std::time::Duration;

use reqwest::{Client, Request};
use shared::http::{How, attempt, client, send};
use shared_testing::stale::{Breaks, Peer, Seen};

fn get(http: &Client, url: &str) -> Request {
    http.get(url).timeout(Duration::from_secs(10)).build().expect("a request")
}

async fn how(http: &Client, url: &str) -> How {
    attempt(http, get(http, url)).await.expect_err("no answer").how
}

#[tokio::test]
async fn a_request_on_a_closed_connection_is_retried_immediately() {
    let peer = Peer::start(Breaks::AtSecond, 200, "[]").await;
    let http = client().expect("a client");
    for _ in 0..3 {
        let answer = send(&http, get(&http, &peer.url)).await.expect("an answer");
        assert_eq!(answer.text().await.expect("a body"), "[]");
    }
    let Seen { connections, answered, broken, .. } = peer.seen();
    assert_eq!((connections, answered, broken), (3, 3, 2));
}

#[tokio::test]
async fn requests_succeed_after_any_number_of_closed_connections() {
    let peer = Peer::start(Breaks::AtSecond, 200, "[]").await;
    let http = client().expect("a client");
    let five = async || {
        let ask = async || send(&http, get(&http, &peer.url)).await?.bytes().await;
        let answers = tokio::join!(ask(), ask(), ask(), ask(), ask());
        let answers: [_; 5] = answers.into();
        assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    };
    five().await;
    five().await;
    assert_eq!(peer.seen().answered, 10);
}

#[tokio::test]
async fn a_request_on_a_broken_new_connection_is_retried_once() {
    let peer = Peer::start(Breaks::AtFirst, 200, "[]").await;
    let http = client().expect("a client");
    assert!(send(&http, get(&http, &peer.url)).await.is_ok());
    let Seen { connections, answered, broken, .. } = peer.seen();
    assert_eq!((connections, answered, broken), (2, 1, 1));
}

#[tokio::test]
async fn the_kind_of_failure_depends_on_connection_and_time() {
    for (breaks, first, second) in [
        (Breaks::AtSecond, None, Some(How::ReusedConnectionBroke)),
        (Breaks::LateAtSecond, None, Some(How::Broke)),
        (Breaks::AtFirst, Some(How::Broke), None),
    ] {
        let peer = Peer::start(breaks, 200, "[]").await;
        let http = client().expect("a client");
        for expected in [first, second] {
            match attempt(&http, get(&http, &peer.url)).await {
                Ok(answer) => {
                    answer.bytes().await.expect("a body");
                    assert_eq!(expected, None, "{breaks:?}");
                }
                Err(failed) => assert_eq!(expected, Some(failed.how), "{breaks:?}: {:?}", failed.error),
            }
        }
        assert_eq!(peer.seen().broken, 1);
    }
}

#[tokio::test]
async fn a_failure_without_a_broken_connection_is_not_retried() {
    let http = client().expect("a client");
    assert_eq!(how(&http, "http://127.0.0.1:1").await, How::NotSent);
    let garbage = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
    let url = format!("http://{}", garbage.local_addr().expect("an address"));
    let serve = async {
        let (connection, _) = garbage.accept().await.expect("a connection");
        connection.peek(&mut [0]).await.expect("a request");
        connection.try_write(b"SSH-2.0-OpenSSH\r\n\r\n").expect("written");
        std::future::pending::<()>().await;
    };
    tokio::select! {
        how = how(&http, &url) => assert_eq!(how, How::Other),
        () = serve => {}
    }
}
