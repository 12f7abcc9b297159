//! Answers clients, a few at a time, on one thread that sleeps while nobody asks.
//!
//! Why not a library: of those without an async runtime, `tiny_http` takes Unix sockets, but waits for a silent client
//! for ever and has as many threads as there are clients. What is needed is small: one page, no bodies, no connections
//! that stay. The thread waits with poll(2) for all clients and for its end, and never for one of them.

use super::address::MetricsAddress;
use super::request::{self, LONGEST_HEAD};
use super::socket::MetricsSocket;
use socket2::Socket;
use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// How many clients are listened to at a time. Whoever came first gives way to one more.
const CLIENTS: usize = 16;

/// How long a client may take, from connecting to having read the answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// How much of what a client still sends is taken after the answer, so that it is not cut off before it reads that.
const MOST_IGNORED: usize = 64 * 1024;

/// For how long nobody is let in after the system could not let somebody in.
const PAUSE: Duration = Duration::from_millis(100);

/// Answers clients of the socket with `page` until the other end of `end` is closed.
pub(super) fn serve_until(end: &UnixStream, socket: &MetricsSocket, page: &dyn Fn() -> String) {
    let listener = socket.socket();
    let over_network = matches!(socket.address(), MetricsAddress::Loopback(_));
    let mut clients: Vec<Client> = Vec::with_capacity(CLIENTS);
    let mut paused_until = None;
    loop {
        let now = Instant::now();
        clients.retain(|client| now < client.until);
        paused_until = paused_until.filter(|&until| now < until);
        let mut asked = vec![pollfd(end, libc::POLLIN)];
        asked.push(pollfd(listener, if paused_until.is_none() { libc::POLLIN } else { 0 }));
        asked.extend(clients.iter().map(|client| pollfd(&client.stream, client.waits_for())));
        let next = clients.iter().map(|client| client.until).chain(paused_until).min();
        if wait(&mut asked, next.map(|next| next.saturating_duration_since(now))).is_err() || asked[0].revents != 0 {
            return;
        }
        let mut ready = asked[2..].iter().map(|client| client.revents != 0);
        clients.retain_mut(|client| !ready.next().unwrap_or(false) || client.go_on(page).is_ok());
        if asked[1].revents != 0 {
            match listener.accept() {
                Ok((stream, _)) => {
                    if clients.len() == CLIENTS {
                        clients.remove(0);
                    }
                    clients.extend(Client::new(stream, over_network));
                }
                // Whoever was there has left again.
                Err(error) if is_for_later(&error) || error.kind() == ErrorKind::ConnectionAborted => {}
                // Out of descriptors or memory: the client is still there and would be reported at once.
                Err(_) => paused_until = Some(now + PAUSE),
            }
        }
    }
}

struct Client {
    stream: Socket,
    over_network: bool,
    until: Instant,
    stage: Stage,
}

enum Stage {
    Asks { received: Vec<u8> },
    Reads { answer: Vec<u8>, sent: usize },
    Leaves { ignored: usize },
}

/// The client is done, or gone.
struct Left;

impl Client {
    fn new(stream: Socket, over_network: bool) -> Option<Client> {
        stream.set_nonblocking(true).ok()?;
        let stage = Stage::Asks { received: Vec::new() };
        Some(Client { stream, over_network, until: Instant::now() + PATIENCE, stage })
    }

    fn waits_for(&self) -> libc::c_short {
        match self.stage {
            Stage::Asks { .. } | Stage::Leaves { .. } => libc::POLLIN,
            Stage::Reads { .. } => libc::POLLOUT,
        }
    }

    /// Takes one step, without waiting. There is always another turn, and the others have theirs before it.
    fn go_on(&mut self, page: &dyn Fn() -> String) -> Result<(), Left> {
        let mut buffer = [0; LONGEST_HEAD];
        match &mut self.stage {
            Stage::Asks { received } => {
                let room = LONGEST_HEAD - received.len();
                match done(self.stream.read(&mut buffer[..room]))? {
                    Some(got) => received.extend_from_slice(&buffer[..got]),
                    None => return Ok(()),
                }
                if let Some(asked) = request::read(received, self.over_network) {
                    self.stage = Stage::Reads { answer: request::answer(asked, page), sent: 0 };
                }
            }
            Stage::Reads { answer, sent } => {
                *sent += done(self.stream.write(&answer[*sent..]))?.unwrap_or(0);
                if *sent == answer.len() {
                    self.stream.shutdown(Shutdown::Write).map_err(|_| Left)?;
                    self.stage = Stage::Leaves { ignored: 0 };
                }
            }
            Stage::Leaves { ignored } => {
                *ignored += done(self.stream.read(&mut buffer))?.unwrap_or(0);
                if *ignored > MOST_IGNORED {
                    return Err(Left);
                }
            }
        }
        Ok(())
    }
}

/// How many bytes were moved; `None` where none can be now.
fn done(moved: io::Result<usize>) -> Result<Option<usize>, Left> {
    match moved {
        Ok(0) => Err(Left),
        Ok(moved) => Ok(Some(moved)),
        Err(error) if is_for_later(&error) => Ok(None),
        Err(_) => Err(Left),
    }
}

fn is_for_later(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

fn pollfd(what: &impl AsFd, events: libc::c_short) -> libc::pollfd {
    libc::pollfd { fd: what.as_fd().as_raw_fd(), events, revents: 0 }
}

/// Waits until something happens at one of the descriptors, or for so long.
fn wait(asked: &mut [libc::pollfd], limit: Option<Duration>) -> io::Result<()> {
    // Rounded up: a client whose time is almost up must not be looked at again and again.
    let millis = limit.map_or(-1, |limit| (limit.as_millis() + 1).try_into().unwrap_or(libc::c_int::MAX));
    // SAFETY: the array is live and has as many entries as are said.
    match unsafe { libc::poll(asked.as_mut_ptr(), asked.len() as libc::nfds_t, millis) } {
        got if got >= 0 => Ok(()),
        _ => match io::Error::last_os_error() {
            error if error.kind() == ErrorKind::Interrupted => Ok(()),
            error => Err(error),
        },
    }
}
