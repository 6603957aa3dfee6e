//! A peer on real sockets that closes idle connections, as a frozen process experiences it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// When a connection is reset.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Breaks {
    /// The first request of each connection gets a response; the second finds the connection reset, and is
    /// not read.
    AtSecond,
    /// As [`Breaks::AtSecond`], more than a round trip later.
    LateAtSecond,
    /// The first request of the first connection is read, then the connection is reset. Other connections
    /// work normally.
    AtFirst,
}

/// The peer; it stops with its runtime.
pub struct Peer {
    /// Base URL of the listener.
    pub url: String,
    seen: Arc<Mutex<Seen>>,
}

/// Counts of connections and requests.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Seen {
    /// Connections opened.
    pub connections: usize,
    /// Requests with a response.
    pub answered: usize,
    /// Connections reset.
    pub broken: usize,
    /// Whether the last request with a response was the first attempt, according to the SDK.
    pub is_first_attempt: bool,
}

impl Peer {
    /// Starts a peer that responds with `status` and `json`.
    pub async fn start(breaks: Breaks, status: u16, json: &str) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let seen = Arc::<Mutex<Seen>>::default();
        let answer = format!(
            "HTTP/1.1 {status} \r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{json}",
            json.len()
        );
        tokio::spawn(serve(listener, breaks, answer.into(), seen.clone()));
        Self { url, seen }
    }

    /// The counts so far.
    #[must_use]
    pub fn seen(&self) -> Seen {
        *self.seen.lock().expect("a lock")
    }
}

async fn serve(listener: TcpListener, breaks: Breaks, answer: Arc<str>, seen: Arc<Mutex<Seen>>) {
    while let Ok((connection, _)) = listener.accept().await {
        let is_first = {
            let mut seen = seen.lock().expect("a lock");
            seen.connections += 1;
            seen.connections == 1
        };
        let (answer, seen) = (answer.clone(), seen.clone());
        tokio::spawn(async move {
            let answered = match breaks {
                Breaks::AtSecond | Breaks::LateAtSecond => 1,
                Breaks::AtFirst if is_first => 0,
                Breaks::AtFirst => usize::MAX,
            };
            let late = breaks == Breaks::LateAtSecond;
            let _ = serve_connection(connection, answered, late, &answer, &seen).await;
        });
    }
}

async fn serve_connection(
    mut connection: TcpStream,
    answered: usize,
    late: bool,
    answer: &str,
    seen: &Mutex<Seen>,
) -> std::io::Result<()> {
    for _ in 0..answered {
        let Some(head) = read_request(&mut connection).await? else { return Ok(()) };
        {
            let mut seen = seen.lock().expect("a lock");
            seen.answered += 1;
            seen.is_first_attempt = head.contains("attempt=1");
        }
        connection.write_all(answer.as_bytes()).await?;
    }
    if answered == 0 {
        read_request(&mut connection).await?;
    } else if connection.peek(&mut [0]).await? == 0 {
        // Closed by the client.
        return Ok(());
    }
    if late {
        tokio::time::pause();
        tokio::time::advance(Duration::from_millis(1500)).await;
        tokio::time::resume();
    }
    seen.lock().expect("a lock").broken += 1;
    // Closing now resets the connection.
    connection.set_zero_linger()
}

/// Reads a request with its body and returns the head in lower case. `None` if the connection closes before.
async fn read_request(connection: &mut TcpStream) -> std::io::Result<Option<String>> {
    let (mut read, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        let size = connection.read(&mut buffer).await?;
        if size == 0 {
            return Ok(None);
        }
        read.extend_from_slice(&buffer[..size]);
        let text = String::from_utf8_lossy(&read).to_ascii_lowercase();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let length: usize = length.map_or(0, |length| length.parse().expect("a number"));
        if body.len() >= length {
            return Ok(Some(head.to_owned()));
        }
    }
}
