//! One run of the command: without a shell, in a process group of its own, for a bounded time, with what it prints in the
//! log. Nothing of it reaches our standard output, which belongs to the protocol.

use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, Command};
use tokio::time::timeout;
use tracing::info;

use crate::config::OnMessage;

/// How long the output is waited for once the command has ended: what it left in the background may hold it open.
const LAST_WORDS: Duration = Duration::from_millis(200);
/// Lines of one run that are logged.
const LINES: usize = 20;
/// Bytes of one line that are logged.
const LINE: usize = 300;

/// Runs the command with this input. When the future is dropped, the command and what it started are killed.
///
/// # Errors
/// Why it did not end well, for the log.
pub(super) async fn run(command: &OnMessage, input: Vec<u8>, limit: Duration) -> Result<(), String> {
    let mut group = Group::start(command).map_err(|error| format!("it could not be started ({error})"))?;
    let pipes = (
        group.child.stdin.take(),
        group.child.stdout.take(),
        group.child.stderr.take(),
    );
    let (Some(mut stdin), Some(stdout), Some(stderr)) = pipes else {
        return Err("its pipes are missing".to_owned());
    };
    let mut last = String::new();
    let ended = {
        let feed = async {
            // A command that does not want to know has closed its end.
            let _ = stdin.write_all(&input).await;
            drop(stdin);
        };
        let talk = async { tokio::join!(log(stdout), log(stderr)) };
        let mut spoken = std::pin::pin!(async { tokio::join!(feed, talk).1 });
        let whole = async {
            tokio::select! {
                biased;
                status = group.child.wait() => (status, timeout(LAST_WORDS, &mut spoken).await.ok()),
                said = &mut spoken => (group.child.wait().await, Some(said)),
            }
        };
        let ended = timeout(limit, whole).await;
        if let Ok((_, Some((out, err)))) = &ended {
            last = if err.is_empty() { out.clone() } else { err.clone() };
        }
        ended
    };
    let Ok((status, _)) = ended else {
        return Err(format!(
            "it did not end within {} s and was killed",
            limit.as_secs_f64()
        ));
    };
    group.has_ended = true;
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) if last.is_empty() => Err(status.to_string()),
        Ok(status) => Err(format!("{status}, after saying: {last}")),
        Err(error) => Err(error.to_string()),
    }
}

/// A command and what it started.
struct Group {
    child: Child,
    has_ended: bool,
}

impl Group {
    fn start(command: &OnMessage) -> std::io::Result<Self> {
        let mut prepared = Command::new(&command.program);
        prepared
            .args(&command.arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        #[cfg(unix)]
        prepared.process_group(0);
        for name in OnMessage::hidden(std::env::vars_os().map(|(name, _)| name)) {
            prepared.env_remove(name);
        }
        Ok(Self {
            child: prepared.spawn()?,
            has_ended: false,
        })
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // What a command that has ended left in the background is its own affair.
        if self.has_ended {
            return;
        }
        #[cfg(unix)]
        if let Some(leader) = self
            .child
            .id()
            .and_then(|id| rustix::process::Pid::from_raw(id.cast_signed()))
        {
            let _ = rustix::process::kill_process_group(leader, rustix::process::Signal::KILL);
        }
    }
}

/// Logs the first lines of an output, reads the rest, and answers the last line.
async fn log(mut output: impl AsyncRead + Unpin) -> String {
    let mut chunk = [0; 4096];
    let (mut line, mut last) = (Vec::new(), String::new());
    let mut lines = 0;
    let mut end_line = |line: &mut Vec<u8>| {
        let text = printable(line);
        line.clear();
        if text.is_empty() {
            return;
        }
        lines += 1;
        if lines <= LINES {
            info!("the command of MOLECULE_ON_MESSAGE says: {text}");
        }
        last = text;
    };
    while let Ok(length @ 1..) = output.read(&mut chunk).await {
        for byte in &chunk[..length] {
            match byte {
                b'\n' => end_line(&mut line),
                _ if line.len() < LINE => line.push(*byte),
                _ => {}
            }
        }
    }
    end_line(&mut line);
    last
}

fn printable(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line);
    text.trim().replace(char::is_control, " ")
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    fn shell(script: &str) -> OnMessage {
        OnMessage {
            program: "/bin/sh".to_owned(),
            arguments: vec!["-c".to_owned(), script.to_owned()],
        }
    }

    async fn outcome(script: &str) -> Result<(), String> {
        run(&shell(script), b"{}\n".to_vec(), LONG).await
    }

    #[tokio::test]
    async fn the_end_of_a_command_is_told_with_its_last_words() {
        assert_eq!(outcome("exit 0").await, Ok(()));
        assert_eq!(outcome("cat >/dev/null").await, Ok(()));
        let failed = outcome("echo out; echo 'first' >&2; printf 'no\\033[31m way\\n' >&2; exit 3").await;
        assert_eq!(failed, Err("exit status: 3, after saying: no [31m way".to_owned()));
        assert_eq!(
            outcome("echo out; exit 4").await,
            Err("exit status: 4, after saying: out".to_owned())
        );
        let nobody = OnMessage {
            program: "/no/such/program".to_owned(),
            arguments: Vec::new(),
        };
        let failed = run(&nobody, Vec::new(), LONG).await.unwrap_err();
        assert!(failed.starts_with("it could not be started"), "{failed}");
    }

    #[tokio::test]
    async fn more_input_than_a_pipe_holds_and_more_output_hold_nothing_up() {
        let much = vec![b'x'; 4 * 1024 * 1024];
        assert_eq!(run(&shell("cat; cat >&2"), much.clone(), LONG).await, Ok(()));
        assert_eq!(run(&shell("exit 0"), much, LONG).await, Ok(()));
    }

    #[tokio::test]
    async fn what_is_left_in_the_background_is_not_waited_for_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let done = folder.path().join("done");
        let script = format!("(sleep 1; : >{}) & exit 0", done.display());
        assert_eq!(outcome(&script).await, Ok(()));
        while !done.exists() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// A command whose child writes down its process and then would live long.
    async fn begun(limit: Duration) -> (tempfile::TempDir, u32, tokio::task::JoinHandle<Result<(), String>>) {
        let folder = tempfile::tempdir().unwrap();
        let note = folder.path().join("pid");
        let script = format!("sleep 600 & echo $! >{0}.new; mv {0}.new {0}; wait", note.display());
        let running = tokio::spawn(async move { run(&shell(&script), Vec::new(), limit).await });
        let pid = loop {
            if let Ok(text) = std::fs::read_to_string(&note) {
                break text.trim().parse().unwrap();
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        };
        (folder, pid, running)
    }

    /// Gone, or dead and not yet collected.
    async fn is_gone(pid: u32) {
        let lives = || {
            let ps = std::process::Command::new("ps")
                .args(["-o", "stat=", "-p", &pid.to_string()])
                .output();
            let stat = String::from_utf8(ps.unwrap().stdout).unwrap();
            !stat.trim().is_empty() && !stat.starts_with('Z')
        };
        while lives() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    #[tokio::test]
    async fn a_command_that_takes_too_long_is_killed_with_what_it_started() {
        let (_folder, child, running) = begun(Duration::from_secs(1)).await;
        let failed = running.await.unwrap().unwrap_err();
        assert_eq!(failed, "it did not end within 1 s and was killed");
        is_gone(child).await;
    }

    #[tokio::test]
    async fn a_run_that_is_given_up_is_killed_with_what_it_started() {
        let (_folder, child, running) = begun(LONG).await;
        running.abort();
        is_gone(child).await;
    }
}
