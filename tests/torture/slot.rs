//! One place for a daemon: started, used, killed by others, and started again until all is over.

use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use molecule_mcp::cli::demo::client::McpChild;
use rustix::process::{Pid, Signal, kill_process};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};

use super::ledger::End;
use super::random::Random;
use super::world::World;
use super::{agent, now_ms};

/// A daemon whose client went away is gone after 1.5 s; the rest is room for a loaded machine.
const EXIT_WITHIN: Duration = Duration::from_secs(3);

pub struct Slot {
    pub number: usize,
    pub workspace: usize,
    pub token: String,
    /// As the platform's log shows it.
    pub bearer: String,
    process: Mutex<Process>,
    pub close: Notify,
}

/// What a killer may do to the process is done under this lock, so that no signal goes to a stranger.
#[derive(Default)]
struct Process {
    pid: Option<Pid>,
    life: usize,
    stopped: bool,
    crash_at: Option<String>,
}

impl Slot {
    pub fn new(number: usize, workspace: usize, token: String, bearer: String) -> Self {
        Self {
            number,
            workspace,
            token,
            bearer,
            process: Mutex::default(),
            close: Notify::new(),
        }
    }

    /// The next life crashes by itself there.
    pub fn arm(&self, crash_at: String) {
        self.process.lock().unwrap().crash_at = Some(crash_at);
    }

    /// SIGKILL.
    pub fn kill(&self, world: &World) {
        let mut process = self.process.lock().unwrap();
        if let Some(pid) = process.pid.take() {
            world.ledger.ends(process.life, End::Killed);
            kill_process(pid, Signal::KILL).unwrap();
            process.stopped = false;
        }
    }

    /// SIGSTOP; the life that was stopped.
    pub fn stop(&self, world: &World) -> Option<usize> {
        let mut process = self.process.lock().unwrap();
        let pid = process.pid.filter(|_| !process.stopped)?;
        kill_process(pid, Signal::STOP).unwrap();
        process.stopped = true;
        world.ledger.stopped(process.life);
        Some(process.life)
    }

    /// SIGCONT, if that life is still there.
    pub fn go_on(&self, world: &World, life: usize) {
        let mut process = self.process.lock().unwrap();
        if let Some(pid) = process.pid
            && process.life == life
            && process.stopped
        {
            world.ledger.continued(life);
            kill_process(pid, Signal::CONT).unwrap();
            process.stopped = false;
        }
    }

    /// Asks for the end of stdin; not of a stopped process, which could not notice.
    pub fn go_away(&self) {
        if !self.process.lock().unwrap().stopped {
            self.close.notify_one();
        }
    }
}

/// Starts the daemon again and again.
pub async fn live(world: Arc<World>, slot: Arc<Slot>) {
    let mut random = Random::of(world.seed, 100 + slot.number as u64);
    while !world.over.is_cancelled() {
        one_life(&world, &slot, &mut random).await;
        sleep(random.millis(150, 600)).await;
    }
}

async fn one_life(world: &Arc<World>, slot: &Arc<Slot>, random: &mut Random) {
    let crash_at = {
        let armed = slot.process.lock().unwrap().crash_at.take();
        armed.filter(|_| !world.storm.is_cancelled())
    };
    let armed = crash_at.is_some();
    let command = world.command(slot, crash_at.clone());
    let mut child = McpChild::spawn(command).unwrap();
    let life = world.ledger.begins(slot.number, slot.workspace);
    {
        let mut process = slot.process.lock().unwrap();
        process.pid = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).unwrap()));
        (process.life, process.stopped) = (life, false);
    }
    let closing = tokio::select! {
        biased;
        () = slot.close.notified() => true,
        () = world.over.cancelled() => true,
        () = agent::session(world, slot, life, &child, random) => false,
    };
    let asked = Instant::now();
    let ended = if closing {
        // A killer that came first has taken the process id.
        let killed = slot.process.lock().unwrap().pid.take().is_none();
        if !killed {
            world.ledger.ends(life, End::Closed);
        }
        let ended = timeout(EXIT_WITHIN * 3, child.close()).await;
        if !killed {
            let took = asked.elapsed();
            world.ledger.book().exits.push(i64::try_from(took.as_millis()).unwrap());
            if took > EXIT_WITHIN {
                world.ledger.violation(format!(
                    "life {life}: its client went away, and it took {took:?} to end"
                ));
            }
        }
        ended
    } else {
        // Not reaped before the killers have forgotten it.
        slot.process.lock().unwrap().pid = None;
        timeout(EXIT_WITHIN * 3, child.wait()).await
    };
    match ended {
        Ok(Ok((status, complaints))) => judge(world, life, armed.then_some(crash_at).flatten(), status, &complaints),
        odd => world.ledger.violation(format!("life {life}: did not end: {odd:?}")),
    }
}

/// Every end must be one that was brought about.
fn judge(world: &World, life: usize, crash_at: Option<String>, status: ExitStatus, complaints: &str) {
    const SIGABRT: i32 = 6;
    const SIGKILL: i32 = 9;
    let brought_about = match world.ledger.end_of(life) {
        _ if crash_at.is_some() && status.signal() == Some(SIGABRT) && !complaints.contains("panicked") => {
            world.ledger.crashed(life, crash_at.unwrap_or_default());
            true
        }
        Some(End::Killed) => status.signal() == Some(SIGKILL) || status.success(),
        Some(End::Closed) => status.success(),
        _ => false,
    };
    let tail: String = complaints.lines().rev().take(12).collect::<Vec<_>>().join("\n    ");
    if !brought_about || complaints.contains("panicked") {
        world.ledger.violation(format!(
            "life {life} ended by itself at {}: {status}\n    {tail}",
            now_ms()
        ));
    }
    if world.plan.verbose {
        for line in complaints.lines().filter(|line| line.contains("ERROR")) {
            println!("life {life}: {line}");
        }
    }
}
