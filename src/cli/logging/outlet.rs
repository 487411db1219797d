//! A way out for lines, with a thread of its own that may block for ever in a write; nobody else does.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender};

/// Lines that may wait for their reader; further ones are dropped and counted.
const WAITING: usize = 256;

/// Where lines go out.
pub(super) struct Outlet {
    pieces: SyncSender<Piece>,
    dropped: Arc<AtomicU64>,
}

/// What waits to be written.
enum Piece {
    Line(Vec<u8>),
    Last(Vec<u8>, SyncSender<()>),
}

impl Outlet {
    /// Starts the thread. `dropped_note` makes the line that tells how many were dropped. The process ends without waiting for it.
    pub(super) fn start(
        name: &str,
        writer: impl Write + Send + 'static,
        dropped_note: impl Fn(u64) -> Vec<u8> + Send + 'static,
    ) -> Self {
        let (outlet, pieces) = mpsc::sync_channel(WAITING);
        let dropped = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&dropped);
        let _ = std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || write_out(writer, &pieces, &counted, &dropped_note));
        Self {
            pieces: outlet,
            dropped,
        }
    }

    /// Sends a whole line out, with its end.
    pub(super) fn line(&self, line: Vec<u8>) {
        if self.pieces.try_send(Piece::Line(line)).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Sends a text out; the answer comes when it and everything before is written. `None`: it never will be.
    pub(super) fn last(&self, text: Vec<u8>) -> Option<Receiver<()>> {
        let (written, is_written) = mpsc::sync_channel(1);
        let sent = self.pieces.try_send(Piece::Last(text, written));
        sent.is_ok().then_some(is_written)
    }
}

fn write_out(mut writer: impl Write, pieces: &Receiver<Piece>, dropped: &AtomicU64, note: &impl Fn(u64) -> Vec<u8>) {
    for piece in pieces {
        let missed = dropped.swap(0, Ordering::Relaxed);
        if missed > 0 {
            let _ = writer.write_all(&note(missed));
        }
        match piece {
            Piece::Line(line) => {
                let _ = writer.write_all(&line);
            }
            Piece::Last(text, written) => {
                let _ = writer.write_all(&text);
                let _ = writer.flush();
                let _ = written.send(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// Writes once it may.
    struct Gate(Receiver<()>, Arc<Mutex<String>>);

    impl Write for Gate {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            let _ = self.0.recv();
            self.1.lock().unwrap().push_str(std::str::from_utf8(bytes).unwrap());
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_is_stuck_holds_nobody_up_and_is_told_what_it_missed() {
        let (open, gate) = mpsc::channel();
        let written = Arc::default();
        let outlet = Outlet::start("test", Gate(gate, Arc::clone(&written)), |count| {
            format!("{count} were dropped\n").into_bytes()
        });
        for number in 0..WAITING + 50 {
            outlet.line(format!("{number}\n").into_bytes());
        }
        drop(open);
        let mut last = None;
        while last.is_none() {
            last = outlet.last(b"the end".to_vec());
        }
        last.unwrap().recv().unwrap();
        let written = written.lock().unwrap();
        assert!(written.contains("\n255\n") && written.ends_with("the end"), "{written}");
        assert!(written.contains(" were dropped"), "{written}");
    }
}
