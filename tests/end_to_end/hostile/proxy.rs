//! A way to the embedded platform on which one route is answered wrongly, byte by byte as a table says, while the fault is on.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

/// A wrong answer as it goes over the wire. Afterwards the connection is closed.
pub type Reply = Vec<Part>;

#[derive(Clone, Debug)]
pub enum Part {
    Bytes(Vec<u8>),
    /// The same bytes so many times: what is large need not be held.
    Repeat(&'static [u8], usize),
    Pause(Duration),
    /// Nothing more comes, and nothing ends.
    Hang,
}

/// The route that is answered wrongly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    Register,
    Heartbeat,
    Poll,
    Stream,
    /// The platform never hears of it.
    Delegate,
    /// The platform does what was asked; only its answer goes wrong.
    Delegated,
}

impl Route {
    fn is_asked_by(self, line: &str) -> bool {
        let Some((request, query)) = line
            .rsplit_once(' ')
            .map(|(request, _)| request)
            .and_then(|request| request.split_once('?').or(Some((request, ""))))
        else {
            return false;
        };
        match self {
            Self::Register => request == "POST /registry/register",
            Self::Heartbeat => request == "POST /registry/heartbeat",
            // Broadcasts have a cursor of their own.
            Self::Poll => {
                request.starts_with("GET /workspaces/")
                    && request.ends_with("/activity")
                    && query.contains("type=a2a_receive")
            }
            Self::Stream => request.starts_with("GET ") && request.ends_with("/events/stream"),
            Self::Delegate | Self::Delegated => request.starts_with("POST ") && request.ends_with("/delegate"),
        }
    }
}

/// One request as the way saw it.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    pub at: Instant,
    /// Whether it met the fault.
    pub wronged: bool,
    beats: bool,
}

pub struct Way {
    pub url: String,
    fault: watch::Sender<bool>,
    asked: Arc<Mutex<Vec<Asked>>>,
    // Dropping it ends whatever goes over it.
    _accepting: JoinSet<()>,
}

impl Way {
    /// A free port that leads to `platform`.
    pub async fn to(platform: &str, route: Route, on: bool) -> (Self, watch::Sender<Arc<Reply>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (fault, reply) = (watch::Sender::new(on), watch::Sender::new(Arc::new(Reply::new())));
        let asked = Arc::new(Mutex::new(Vec::new()));
        let here = Here {
            platform: platform.strip_prefix("http://").unwrap().to_owned(),
            route,
            fault: fault.subscribe(),
            reply: reply.subscribe(),
            asked: Arc::clone(&asked),
        };
        let url = format!("http://{}", listener.local_addr().unwrap());
        let mut accepting = JoinSet::new();
        accepting.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                connections.spawn(here.clone().pass(client));
                while connections.try_join_next().is_some() {}
            }
        });
        let way = Self {
            url,
            fault,
            asked,
            _accepting: accepting,
        };
        (way, reply)
    }

    /// From now on the route is answered wrongly; what is open over it is cut.
    pub fn fault(&self) {
        self.fault.send_replace(true);
    }

    pub fn no_fault(&self) {
        self.fault.send_replace(false);
    }

    /// How many beats reached the platform.
    pub fn beats(&self) -> usize {
        let asked = self.asked.lock().unwrap();
        asked.iter().filter(|asked| asked.beats && !asked.wronged).count()
    }

    /// How often anything was asked, and how often it was wronged.
    pub fn counts(&self) -> (usize, usize) {
        let asked = self.asked.lock().unwrap();
        (asked.len(), asked.iter().filter(|asked| asked.wronged).count())
    }

    /// Waits until the fault was met so often.
    pub async fn until_wronged(&self, times: usize) {
        while self.counts().1 < times {
            sleep(Duration::from_millis(25)).await;
        }
    }

    /// What was asked for since then.
    pub fn asked_since(&self, then: Instant) -> Vec<Asked> {
        let asked = self.asked.lock().unwrap();
        asked.iter().filter(|asked| asked.at >= then).copied().collect()
    }
}

#[derive(Clone)]
struct Here {
    platform: String,
    route: Route,
    fault: watch::Receiver<bool>,
    reply: watch::Receiver<Arc<Reply>>,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Here {
    /// One request, one answer, one connection.
    async fn pass(mut self, mut client: TcpStream) {
        let _ = client.set_nodelay(true);
        let Some(request) = Request::read(&mut client).await else {
            return;
        };
        let ours = self.route.is_asked_by(&request.line);
        let wronged = ours && *self.fault.borrow_and_update();
        self.asked.lock().unwrap().push(Asked {
            at: Instant::now(),
            wronged,
            beats: Route::Heartbeat.is_asked_by(&request.line),
        });
        if !wronged {
            let stopped = async {
                // Only a new fault on this route cuts what is under way.
                let begins = self.fault.wait_for(|on| *on && ours).await.is_ok();
                if !begins {
                    std::future::pending::<()>().await;
                }
            };
            tokio::select! {
                _ = request.forward(&self.platform, &mut client) => {}
                () = stopped => {}
            }
            return;
        }
        if self.route == Route::Delegated {
            let _ = request.forward(&self.platform, &mut tokio::io::sink()).await;
        }
        let reply = Arc::clone(&self.reply.borrow());
        let answered = async {
            for part in reply.iter() {
                part.send(&mut client).await.ok()?;
            }
            client.shutdown().await.ok()
        };
        // Not for ever: a client that hangs on would keep it after the fault.
        let ends = async { self.fault.wait_for(|on| !on).await.is_ok() };
        tokio::select! {
            sent = answered => if sent.is_some() { drain(&mut client).await },
            _ = ends => {}
        }
    }
}

/// Lets the client take everything before the connection ends: unread input would turn the end into a reset.
async fn drain(client: &mut TcpStream) {
    let mut rest = [0; 1024];
    let reading = async { while matches!(client.read(&mut rest).await, Ok(1..)) {} };
    let _ = timeout(Duration::from_secs(1), reading).await;
}

impl Part {
    async fn send(&self, client: &mut TcpStream) -> std::io::Result<()> {
        match self {
            Self::Bytes(bytes) => client.write_all(bytes).await,
            Self::Repeat(bytes, times) => {
                // In large pieces: a call for each of a million bytes would measure the system.
                let each = (64 * 1024 / bytes.len()).clamp(1, *times);
                let piece = bytes.repeat(each);
                for _ in 0..times / each {
                    client.write_all(&piece).await?;
                }
                client.write_all(&bytes.repeat(times % each)).await
            }
            Self::Pause(pause) => {
                sleep(*pause).await;
                Ok(())
            }
            Self::Hang => std::future::pending().await,
        }
    }
}

struct Request {
    line: String,
    /// As it came, with a header that ends the connection after it.
    bytes: Vec<u8>,
}

impl Request {
    async fn read(client: &mut TcpStream) -> Option<Self> {
        let mut held = Vec::new();
        let end = loop {
            if let Some(end) = held.windows(4).position(|window| window == b"\r\n\r\n") {
                break end;
            }
            more(client, &mut held).await?;
        };
        let head = String::from_utf8(held[..end].to_vec()).ok()?;
        let length = head
            .lines()
            .filter_map(|line| line.split_once(": "))
            .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
            .and_then(|(_, value)| value.parse::<usize>().ok())
            .unwrap_or(0);
        while held.len() < end + 4 + length {
            more(client, &mut held).await?;
        }
        let mut bytes = held[..end].to_vec();
        bytes.extend_from_slice(b"\r\nconnection: close");
        bytes.extend_from_slice(&held[end..]);
        let line = head.lines().next()?.to_owned();
        Some(Self { line, bytes })
    }

    async fn forward(&self, platform: &str, client: &mut (impl tokio::io::AsyncWrite + Unpin)) -> std::io::Result<()> {
        let mut server = TcpStream::connect(platform).await?;
        let _ = server.set_nodelay(true);
        server.write_all(&self.bytes).await?;
        tokio::io::copy(&mut server, client).await?;
        client.shutdown().await
    }
}

async fn more(client: &mut TcpStream, held: &mut Vec<u8>) -> Option<()> {
    match client.read_buf(held).await {
        Ok(1..) => Some(()),
        _ => None,
    }
}

/// A place to which nothing of ours may ever lead: it remembers whoever comes.
pub struct Trap {
    pub url: String,
    caught: Arc<Mutex<Vec<String>>>,
    _accepting: JoinSet<()>,
}

impl Trap {
    pub async fn set() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let caught = Arc::new(Mutex::new(Vec::new()));
        let remembered = Arc::clone(&caught);
        let mut accepting = JoinSet::new();
        accepting.spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let mut head = vec![0; 4096];
                let length = client.read(&mut head).await.unwrap_or(0);
                let text = String::from_utf8_lossy(&head[..length]).into_owned();
                remembered.lock().unwrap().push(text);
            }
        });
        Self {
            url,
            caught,
            _accepting: accepting,
        }
    }

    pub fn caught(&self) -> Vec<String> {
        self.caught.lock().unwrap().clone()
    }
}
