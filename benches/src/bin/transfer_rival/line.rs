//! A line with latency, in front of a server on loopback: what goes in at one end comes out at the other some time later.
//!
//! Invariant: bytes keep their order and their distance in time; only how much is under way is bounded, by a window as that of
//! TCP, of [`WINDOW`] bytes a direction and connection. A new connection costs one way there and back before its first byte, as a
//! handshake does. Deliberately absent: a limit of bandwidth, loss.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

/// How much is under way at most: more than 1 GiB/s at 10 ms, 160 MiB/s at 100 ms.
const WINDOW: usize = 16 << 20;
const PIECE: usize = 64 << 10;

/// Begin a line to a port, with a time each way takes. Returns the port of its near end; it stays until the program ends.
pub(crate) fn open(far: u16, way: Duration) -> io::Result<u16> {
    let near = TcpListener::bind("127.0.0.1:0")?;
    let port = near.local_addr()?.port();
    thread::spawn(move || {
        for client in near.incoming().flatten() {
            thread::spawn(move || join(client, far, way));
        }
    });
    Ok(port)
}

/// Join two ends until both have said all. A server that does not answer ends the client's connection.
fn join(client: TcpStream, far: u16, way: Duration) -> io::Result<()> {
    let server = TcpStream::connect(("127.0.0.1", far))?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let begin = Instant::now() + 2 * way;
    let (client_too, server_too) = (client.try_clone()?, server.try_clone()?);
    let back = thread::spawn(move || carry(server_too, client_too, way, begin));
    carry(client, server, way, begin)?;
    back.join().map_err(|_| io::Error::other("the way back ended"))?
}

/// Carry bytes one way, each piece `way` after it was read, and none before `begin`.
fn carry(mut from: TcpStream, mut to: TcpStream, way: Duration, begin: Instant) -> io::Result<()> {
    let (put, take) = sync_channel::<(Instant, Vec<u8>)>(WINDOW / PIECE);
    let writer = thread::spawn(move || {
        let write = || -> io::Result<()> {
            for (due, piece) in take {
                thread::sleep(due.max(begin).saturating_duration_since(Instant::now()));
                to.write_all(&piece)?;
            }
            Ok(())
        };
        let written = write();
        to.shutdown(Shutdown::Write).ok();
        written
    });
    read(&mut from, &put, way)?;
    drop(put);
    writer.join().map_err(|_| io::Error::other("a way ended"))?
}

fn read(from: &mut TcpStream, put: &SyncSender<(Instant, Vec<u8>)>, way: Duration) -> io::Result<()> {
    let mut piece = vec![0; PIECE];
    loop {
        let length = from.read(&mut piece)?;
        if length == 0
            || put
                .send((Instant::now() + way, piece[..length].to_vec()))
                .is_err()
        {
            return Ok(());
        }
    }
}
