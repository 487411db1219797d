//! Processes of one folder that start, die, are refused and stand still in any order, against what is to be true of them: no duty
//! has two holders, none is without one for long, and where a process can do both, one does both.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use proptest::prelude::*;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::election::Election;
use super::tests::{PRESENT, READER, process};
use super::*;

/// Whatever happened, this long after the last of it all is as it should be: a process that gave a duty up looks again only
/// after a minute.
const SETTLED: Duration = Duration::from_secs(150);

/// What a process is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Whole,
    Present,
    Reader,
}

#[derive(Clone, Debug)]
enum Act {
    Start(Kind),
    /// The process dies; the kernel frees its locks.
    Kill(prop::sample::Index),
    /// Its token is refused from now on.
    Refuse(prop::sample::Index),
    Pass(Duration),
}

fn act() -> impl Strategy<Value = Act> {
    let kind = prop_oneof![3 => Just(Kind::Whole), 1 => Just(Kind::Present), 1 => Just(Kind::Reader)];
    prop_oneof![
        4 => kind.prop_map(Act::Start),
        2 => any::<prop::sample::Index>().prop_map(Act::Kill),
        1 => any::<prop::sample::Index>().prop_map(Act::Refuse),
        3 => (0..5000u64).prop_map(|millis| Act::Pass(Duration::from_millis(millis))),
    ]
}

/// How many hold each duty, as they see it.
#[derive(Default)]
struct Held([AtomicUsize; 2]);

impl Held {
    fn of(&self, duty: Duty) -> &AtomicUsize {
        &self.0[usize::from(duty == Duty::Reading)]
    }
}

/// One hold on a duty; it ends with the process as the lock does.
struct Hold {
    held: Arc<Held>,
    duty: Duty,
}

impl Hold {
    fn begin(held: &Arc<Held>, duty: Duty) -> Self {
        let others = held.of(duty).fetch_add(1, Ordering::SeqCst);
        assert_eq!(others, 0, "a second holder of the {duty}");
        Self {
            held: Arc::clone(held),
            duty,
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.held.of(self.duty).fetch_sub(1, Ordering::SeqCst);
    }
}

/// A process that does nothing with its duties but hold them.
struct Process {
    kind: Kind,
    refused: bool,
    office: Arc<Office>,
    tasks: Vec<JoinHandle<()>>,
}

impl Process {
    async fn start(folder: &Path, kind: Kind, held: &Arc<Held>) -> Self {
        let off = match kind {
            Kind::Whole => &[],
            Kind::Present => PRESENT,
            Kind::Reader => READER,
        };
        let office = Arc::new(process(folder, off).await);
        let duties = [Duty::Presence, Duty::Reading];
        let tasks = duties.map(|duty| tokio::spawn(serve(Arc::clone(&office), duty, Arc::clone(held))));
        Self {
            kind,
            refused: false,
            office,
            tasks: tasks.into(),
        }
    }

    fn does(&self, duty: Duty) -> bool {
        match self.kind {
            Kind::Whole => true,
            Kind::Present => duty == Duty::Presence,
            Kind::Reader => duty == Duty::Reading,
        }
    }

    fn refuse(&mut self) {
        self.refused = true;
        self.office.pulse.send_replace(Pulse {
            refusals: 9,
            ..Pulse::default()
        });
    }

    async fn die(self) {
        for task in self.tasks {
            task.abort();
            // A failed assertion inside is the test's.
            if let Err(ended) = task.await
                && ended.is_panic()
            {
                std::panic::resume_unwind(ended.into_panic());
            }
        }
    }
}

/// As [`Office::serve`], without the work.
async fn serve(office: Arc<Office>, duty: Duty, held: Arc<Held>) {
    let mut election = Election::open(&office, duty).await;
    if office.switch(duty) == Switch::Off {
        office.set_role(duty, Role::Off);
        return election.look_on().await;
    }
    let mut gave_up = None;
    loop {
        let won = election.win(gave_up).await;
        office.begin(duty);
        let hold = Hold::begin(&held, duty);
        let settle = if won.unclaimed { AFTER } else { Duration::ZERO };
        let lock = Arc::new(won.lock);
        gave_up = Some(office.wanted_elsewhere(duty, &lock, settle).await);
        drop(hold);
        drop(lock);
        office.set_role(duty, Role::Follower);
    }
}

const AFTER: Duration = super::election::AFTER_REFUSAL;

async fn play(acts: Vec<Act>) {
    let folder = tempfile::tempdir().unwrap();
    let held = Arc::new(Held::default());
    let mut running: Vec<Process> = Vec::new();
    for act in acts {
        match act {
            Act::Start(kind) if running.len() < 5 => running.push(Process::start(folder.path(), kind, &held).await),
            Act::Kill(which) if !running.is_empty() => {
                let which = which.index(running.len());
                running.swap_remove(which).die().await;
            }
            Act::Refuse(which) if !running.is_empty() => {
                let which = which.index(running.len());
                running[which].refuse();
            }
            Act::Pass(time) => sleep(time).await,
            Act::Start(_) | Act::Kill(_) | Act::Refuse(_) => {}
        }
    }
    sleep(SETTLED).await;
    // Whoever is refused gives way and comes back each minute, so only what all could do is certain then.
    let all_well = running.iter().all(|process| !process.refused);
    for duty in [Duty::Presence, Duty::Reading] {
        let able = running.iter().any(|process| process.does(duty));
        let holders = held.of(duty).load(Ordering::SeqCst);
        assert!(holders == usize::from(able) || !all_well, "{holders} hold the {duty}");
        assert!(holders <= 1);
    }
    if all_well && running.iter().any(|process| process.kind == Kind::Whole) {
        let does_both = |process: &Process| {
            let roles = [Duty::Presence, Duty::Reading].map(|duty| process.office.holds(duty));
            roles == [true, true]
        };
        assert!(running.iter().any(does_both), "nobody does both duties");
    }
    for process in running {
        process.die().await;
    }
}

proptest! {
    // Each case waits for minutes of the paused clock and opens a journal for each process.
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn no_duty_has_two_holders_and_none_is_left_alone(acts in prop::collection::vec(act(), 1..14)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(play(acts));
    }
}
