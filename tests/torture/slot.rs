//! One place for a daemon: started, used, killed by others, and started again until all is over.

use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use molecule_mcp::cli::demo::client::McpChild;
use rustix::process::{Pid, Signal, kill_process};
use sha2::{Digest as _, Sha256};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};

use super::ledger::End;
use super::random::Random;
use super::world::World;
use super::{agent, now_ms};

/// A daemon whose client went away is gone after 1.5 s, which is reported. Only one that stays for ever is a violation: how
/// long it takes depends on the machine.
const EXIT_WITHIN: Duration = Duration::from_secs(600);

/// A token, and how the platform's log shows it.
pub struct Credential {
    token: String,
    pub bearer: String,
}

impl Credential {
    pub fn of(token: String) -> Self {
        let digest = Sha256::digest(token.as_bytes());
        let bearer = digest[..4].iter().map(|byte| format!("{byte:02x}")).collect();
        Self { token, bearer }
    }
}

pub struct Slot {
    pub number: usize,
    pub workspace: usize,
    /// One after the other, a life each.
    pub credentials: Vec<Credential>,
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
    pub fn new(number: usize, workspace: usize, credentials: Vec<Credential>) -> Self {
        Self {
            number,
            workspace,
            credentials,
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

    /// Lets the process write files, or not, as the disk of its workspace is now.
    pub fn limit_writes(&self, world: &World) {
        if let Some(pid) = self.process.lock().unwrap().pid {
            limit_writes(pid, world.workspaces[self.workspace].disk.refuses());
        }
    }

    /// Takes the running process out of the killers' reach, and lets it run if it was stopped. `false`: there is none.
    fn let_go(&self, world: &World) -> bool {
        let mut process = self.process.lock().unwrap();
        let Some(pid) = process.pid.take() else {
            return false;
        };
        if std::mem::take(&mut process.stopped) {
            world.ledger.continued(process.life);
            kill_process(pid, Signal::CONT).unwrap();
        }
        true
    }

    /// Asks for the end of stdin; not of a stopped process, which could not notice.
    pub fn go_away(&self) {
        if !self.process.lock().unwrap().stopped {
            self.close.notify_one();
        }
    }
}

#[cfg(target_os = "linux")]
fn limit_writes(pid: Pid, refuses: bool) {
    use rustix::process::{Resource, Rlimit, getrlimit, prlimit};
    // The hard limit stays what it is: a lowered one could not be raised again.
    let maximum = getrlimit(Resource::Fsize).maximum;
    let limit = Rlimit {
        current: if refuses { Some(0) } else { maximum },
        maximum,
    };
    // Fails only for a process that just ended.
    let _ = prlimit(Some(pid), Resource::Fsize, limit);
}

#[cfg(not(target_os = "linux"))]
fn limit_writes(_pid: Pid, _refuses: bool) {}

/// Starts the daemon again and again.
pub async fn live(world: Arc<World>, slot: Arc<Slot>) {
    let mut random = Random::of(world.seed, 100 + slot.number as u64);
    for turn in (0..slot.credentials.len()).cycle() {
        if world.over.is_cancelled() {
            return;
        }
        one_life(&world, &slot, turn, &mut random).await;
        sleep(random.millis(150, 600)).await;
    }
}

async fn one_life(world: &Arc<World>, slot: &Arc<Slot>, turn: usize, random: &mut Random) {
    let crash_at = {
        let armed = slot.process.lock().unwrap().crash_at.take();
        armed.filter(|_| !world.storm.is_cancelled())
    };
    let armed = crash_at.is_some();
    let disk = &world.workspaces[slot.workspace].disk;
    let (troubles, in_trouble) = disk.troubles();
    let command = world.command(slot, &slot.credentials[turn].token, crash_at.clone());
    let mut child = McpChild::spawn(command).unwrap();
    let life = world.ledger.begins(slot.number, turn, slot.workspace);
    {
        let mut process = slot.process.lock().unwrap();
        process.pid = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).unwrap()));
        (process.life, process.stopped) = (life, false);
    }
    if disk.refuses() {
        slot.limit_writes(world);
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
        let killed = !slot.let_go(world);
        if !killed {
            world.ledger.ends(life, End::Closed);
        }
        let ended = timeout(EXIT_WITHIN, child.close()).await;
        if !killed {
            let took = asked.elapsed().as_millis();
            world.ledger.book().exits.push(i64::try_from(took).unwrap());
        }
        ended
    } else {
        // Not reaped before the killers have forgotten it.
        slot.process.lock().unwrap().pid = None;
        timeout(EXIT_WITHIN, child.wait()).await
    };
    let no_disk = in_trouble || disk.troubles().0 > troubles;
    match ended {
        Ok(Ok((status, complaints))) if no_disk && refused_the_folder(status, &complaints) => {
            world.ledger.refused(life);
        }
        Ok(Ok((status, complaints))) => judge(world, life, armed.then_some(crash_at).flatten(), status, &complaints),
        odd => world.ledger.violation(format!("life {life}: did not end: {odd:?}")),
    }
}

/// A start on a folder where nothing can be written ends with its reason.
fn refused_the_folder(status: ExitStatus, complaints: &str) -> bool {
    const CONFIGURATION: i32 = 2;
    status.code() == Some(CONFIGURATION) && !complaints.contains("panicked") && !complaints.is_empty()
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
