//! Planning and judging against a model platform that lists, tells, forgets to tell and fails, and against a model journal that
//! keeps its word. Processes die, commits fail, the stream comes and goes.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use proptest::prelude::*;
use serde_json::json;

use super::broadcasts::Kept;
use super::broadcasts::testing::{OWN, PEER, row, told};
use super::errands::{FULL, merged};
use super::hearing::{Heard, Hearing};
use super::plan::{Errand, Next, Plan};
use super::requests::{Judge, Judged};
use crate::agent::stream::Broadcast;
use crate::config::Timing;
use crate::platform::requests::{RequestMessage, RequestRow, RequestThread};
use crate::state::journal::News;
use crate::state::message::{Kind, Message};
use crate::state::request::{ANSWER_NOTE, Part, REMARK_NOTE, Side, note_key};
use crate::types::{RequestId, Timestamp, WorkspaceId};

const EPOCH: i64 = 1_800_000_000_000_000;
/// After the last thing that happens everything is found out within this.
const QUIET: Duration = Duration::from_secs(400);

#[derive(Clone, Debug)]
enum Act {
    /// Of us (`Theirs`) or by us.
    Ask(Side),
    /// Which of the requests, cyclically, and whether it is taken back.
    Settle(usize, bool),
    /// By us, or by the other side.
    Write(usize, bool),
    Broadcast(bool),
    /// The stream ends, or begins anew.
    Stream(bool),
    /// The process dies.
    Die,
    /// Many requests at once, all but the first answered.
    Flood,
}

#[derive(Clone, Debug)]
struct Case {
    acts: Vec<(u32, Act)>,
    /// Per mille of reads and commits that fail, and of events that are lost.
    failures: u64,
    seed: u64,
}

fn case() -> impl Strategy<Value = Case> {
    let side = prop_oneof![Just(Side::Theirs), Just(Side::Ours)];
    let act = prop_oneof![
        6 => side.prop_map(Act::Ask),
        4 => (any::<usize>(), any::<bool>()).prop_map(|(which, back)| Act::Settle(which, back)),
        4 => (any::<usize>(), any::<bool>()).prop_map(|(which, us)| Act::Write(which, us)),
        4 => any::<bool>().prop_map(Act::Broadcast),
        2 => any::<bool>().prop_map(Act::Stream),
        1 => Just(Act::Die),
        1 => Just(Act::Flood),
    ];
    let acts = prop::collection::vec((0_u32..90_000, act), 1..40);
    (acts, prop_oneof![Just(0), 0_u64..300], any::<u64>()).prop_map(|(acts, failures, seed)| Case {
        acts,
        failures,
        seed,
    })
}

/// The platform's side.
#[derive(Default)]
struct Platform {
    /// In order of creation.
    requests: Vec<(Side, RequestThread)>,
    broadcasts: Vec<(Kept, String)>,
    names: u32,
}

impl Platform {
    fn name(&mut self) -> String {
        self.names += 1;
        format!("00000000-0000-4000-8000-{:012}", self.names)
    }

    fn ask(&mut self, side: Side, at: Timestamp) -> RequestId {
        let (from, to) = match side {
            Side::Theirs => (PEER, OWN),
            Side::Ours => (OWN, PEER),
        };
        let id = self.name();
        let request = serde_json::from_value(json!({ "id": id, "kind": "task", "requester_type": "agent",
            "requester_id": from, "recipient_type": "agent", "recipient_id": to, "title": "t", "status": "pending",
            "created_at": at.to_rfc3339() }));
        let request = request.unwrap();
        let messages = Vec::new();
        self.requests.push((side, RequestThread { request, messages }));
        RequestId::parse(&id).unwrap()
    }

    /// The first 50, newest first.
    fn list(&self, side: Side, status: Option<&str>) -> Vec<RequestRow> {
        let rows = self.requests.iter().rev().filter(|(of, _)| *of == side);
        let rows = rows.map(|(_, thread)| &thread.request);
        let rows = rows.filter(|row| status.is_none_or(|status| row.status == status));
        rows.take(FULL).cloned().collect()
    }
}

/// The journal's side: what was offered, under which name, and whether it is still there.
#[derive(Default)]
struct Journal {
    messages: BTreeMap<String, Message>,
    keys: HashSet<String>,
    waiting: HashSet<String>,
    open: HashMap<RequestId, Side>,
    heard: Option<Timestamp>,
}

impl Journal {
    fn take(&mut self, news: News) {
        self.open.extend(news.opened);
        for message in news.messages {
            let name = message.activity_id.to_string();
            let key = note_key(message.message_id.as_deref().unwrap_or_default()).map(str::to_owned);
            if self.messages.contains_key(&name) || key.is_some_and(|key| !self.keys.insert(key)) {
                continue;
            }
            self.waiting.insert(name.clone());
            self.messages.insert(name, message);
        }
        for id in news.closed {
            self.open.remove(&id);
            let of_it = |message: &Message| message.request.as_ref().and_then(|about| about.id.as_ref()) == Some(&id);
            let gone = self
                .messages
                .iter()
                .filter(|(_, m)| m.kind == Kind::Request && of_it(m));
            for name in gone.map(|(name, _)| name.clone()).collect::<Vec<_>>() {
                self.waiting.remove(&name);
            }
        }
        self.heard = news.heard.or(self.heard);
    }
}

/// The daemon, as far as it is not the journal's.
struct Process {
    plan: Plan,
    hearing: Option<Hearing>,
    texts: Vec<Broadcast>,
    born: Duration,
}

impl Process {
    fn new(now: Duration) -> Self {
        Self {
            plan: Plan::new(Timing::REAL, Duration::ZERO),
            hearing: None,
            texts: Vec::new(),
            born: now,
        }
    }
}

struct World {
    platform: Platform,
    journal: Journal,
    process: Process,
    now: Duration,
    live: bool,
    failures: u64,
    random: u64,
    asked: Vec<(Duration, Errand)>,
}

impl World {
    fn new(case: &Case) -> Self {
        Self {
            platform: Platform::default(),
            journal: Journal::default(),
            process: Process::new(Duration::ZERO),
            now: Duration::ZERO,
            live: true,
            failures: case.failures,
            random: case.seed | 1,
            asked: Vec::new(),
        }
    }

    fn wall(&self) -> Timestamp {
        Timestamp(EPOCH).plus_micros(i64::try_from(self.now.as_micros()).unwrap())
    }

    /// Whether something goes wrong this time.
    fn fails(&mut self) -> bool {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % 1000 < self.failures
    }

    /// Whether the stream tells of what just happened.
    fn tells(&mut self) -> bool {
        self.live && !self.fails()
    }

    fn perform(&mut self, act: &Act) {
        let at = self.wall();
        match act {
            Act::Ask(side) => {
                let id = self.platform.ask(*side, at);
                match side {
                    Side::Theirs if self.tells() => self.process.plan.hint(Side::Theirs),
                    Side::Theirs => {}
                    // The tool writes it down.
                    Side::Ours => {
                        self.journal.open.insert(id, Side::Ours);
                    }
                }
            }
            Act::Settle(which, back) => self.settle(*which, *back, at),
            Act::Write(which, us) => self.write(*which, *us, at),
            Act::Broadcast(long) => {
                let name = self.platform.name();
                let text = if *long {
                    format!("{name} {}", "x".repeat(300))
                } else {
                    name.clone()
                };
                self.platform
                    .broadcasts
                    .push((row(&name, &at.to_rfc3339(), &text), text.clone()));
                if self.tells() {
                    self.process.texts.push(told(&text));
                    self.process.plan.broadcast_told();
                }
            }
            Act::Stream(live) => {
                if *live && !self.live {
                    self.process.plan.anew();
                }
                self.live = *live;
            }
            Act::Die => self.process = Process::new(self.now),
            Act::Flood => {
                for n in 0..60 {
                    self.platform.ask(Side::Theirs, at);
                    if n > 0 {
                        let last = self.platform.requests.last_mut().unwrap();
                        "done".clone_into(&mut last.1.request.status);
                    }
                }
            }
        }
    }

    fn settle(&mut self, which: usize, back: bool, at: Timestamp) {
        let Some((side, thread)) = chosen(&mut self.platform.requests, which) else {
            return;
        };
        if !thread.request.is_open() {
            return;
        }
        thread.request.status = if back { "cancelled" } else { "done" }.to_owned();
        thread.request.responded_at = (!back).then(|| at.to_rfc3339());
        let (side, id) = (*side, RequestId::parse(&thread.request.id).unwrap());
        if side == Side::Ours && !back && self.tells() {
            self.process.plan.look_into(id);
        }
    }

    fn write(&mut self, which: usize, us: bool, at: Timestamp) {
        let name = self.platform.name();
        let Some((side, thread)) = chosen(&mut self.platform.requests, which) else {
            return;
        };
        if !thread.request.is_open() {
            return;
        }
        let by_asker = us == (*side == Side::Ours);
        thread.messages.push(RequestMessage {
            id: name,
            author_type: "agent".to_owned(),
            author_id: if us { OWN } else { PEER }.to_owned(),
            body: "b".to_owned(),
            created_at: at.to_rfc3339(),
        });
        if !by_asker {
            "info_requested".clone_into(&mut thread.request.status);
        }
        let (side, id) = (*side, RequestId::parse(&thread.request.id).unwrap());
        if side == Side::Ours && self.tells() {
            self.process.plan.look_into(id);
        }
    }

    /// What the loop does until then.
    fn pass(&mut self, span: Duration) {
        let end = self.now + span;
        while self.now < end {
            let age = self.now - self.process.born;
            match self.process.plan.next(age) {
                Next::Wait(wait) => self.now += wait.min(end - self.now),
                Next::Ask(errand) => {
                    self.asked.push((self.now, errand.clone()));
                    if self.fails() || !self.follow(&errand) {
                        self.process.plan.failed(errand, age, Duration::from_secs(5));
                    } else if errand != Errand::Broadcasts {
                        self.process.plan.answered();
                    }
                    self.now += Duration::from_millis(20);
                }
            }
        }
    }

    /// As `Work` does. `false`: the commit failed.
    fn follow(&mut self, errand: &Errand) -> bool {
        let own = WorkspaceId::parse(OWN).unwrap();
        let judge = Judge {
            own: &own,
            open: &self.journal.open,
            now: self.wall(),
        };
        let (news, judged) = match errand {
            Errand::Theirs { open_only } => {
                let list = |status| self.platform.list(Side::Theirs, status);
                let mut rows = if *open_only { Vec::new() } else { list(None) };
                if *open_only || rows.len() >= FULL {
                    rows.splice(..0, merged(list(Some("pending")), list(Some("info_requested"))));
                    self.process.plan.list_is_full();
                }
                let judged = judge.list(Side::Theirs, &rows);
                (judged.news.clone(), Some((Side::Theirs, judged)))
            }
            Errand::Ours => {
                let judged = judge.list(Side::Ours, &self.platform.list(Side::Ours, None));
                (judged.news.clone(), Some((Side::Ours, judged)))
            }
            Errand::Thread(id) => {
                let found = self
                    .platform
                    .requests
                    .iter()
                    .find(|(_, thread)| thread.request.id == id.as_str());
                (judge.thread(&found.unwrap().1), None)
            }
            Errand::Broadcasts => return self.hear(),
        };
        if self.fails() {
            return false;
        }
        self.journal.take(news);
        let plan = &mut self.process.plan;
        plan.ours_open(self.journal.open.values().any(|side| *side == Side::Ours));
        if let Some((side, Judged { missing, talking, .. })) = judged {
            missing.into_iter().for_each(|id| plan.look_into(id));
            plan.take_turn(side, talking);
        }
        true
    }

    fn hear(&mut self) -> bool {
        let wall = self.wall();
        let hearing = self
            .process
            .hearing
            .get_or_insert_with(|| Hearing::from(self.journal.heard));
        let since = wall.plus_micros(-i64::try_from(hearing.window(wall)).unwrap() * 1_000_000);
        let rows = self.platform.broadcasts.iter().map(|(row, _)| row);
        let rows: Vec<Kept> = rows.filter(|row| row.message.at >= since).cloned().collect();
        let ids = rows.iter().map(|row| &row.message.activity_id);
        let known = ids
            .filter(|id| self.journal.messages.contains_key(id.as_str()))
            .cloned()
            .collect();
        let texts = &mut self.process.texts;
        let age = self.now - self.process.born;
        let news = hearing.judge(age, Heard { rows, at: wall }, &known, self.live, |row| {
            let at = texts.iter().position(|told| row.is(told))?;
            Some(texts.remove(at))
        });
        if self.fails() {
            return false;
        }
        self.journal.take(news);
        if let Some(then) = self.process.hearing.as_mut().and_then(Hearing::committed) {
            self.process.plan.broadcasts_by(then);
        }
        true
    }

    fn check(&self) {
        for (side, thread) in &self.platform.requests {
            let row = &thread.request;
            let offered = self.journal.messages.contains_key(&row.id);
            let waits = self.journal.waiting.contains(&row.id);
            let answer = self.journal.messages.get(&format!("{ANSWER_NOTE}{}", row.id));
            match side {
                Side::Theirs => {
                    assert_eq!(waits, row.is_open(), "{row:?}");
                    assert!(offered || !row.is_open() && answer.is_none(), "{row:?}");
                }
                Side::Ours => {
                    assert!(!offered, "we know what we ask");
                    assert_eq!(answer.is_some(), row.status == "done", "{row:?}");
                    assert!(answer.is_none_or(|told| told.request.as_ref().unwrap().part == Part::Answer));
                }
            }
            for remark in &thread.messages {
                let name = match side {
                    Side::Theirs => remark.id.clone(),
                    Side::Ours => format!("{REMARK_NOTE}{}", remark.id),
                };
                let ours = remark.author_id == OWN;
                let told = self.journal.messages.contains_key(&name);
                assert!(!(ours && told), "our own words: {remark:?}");
                assert!(ours || told || row.status != "info_requested", "{remark:?}");
            }
            let stands_open = self.journal.open.contains_key(&RequestId::parse(&row.id).unwrap());
            assert_eq!(stands_open, row.is_open(), "{row:?}");
        }
        for (row, text) in &self.platform.broadcasts {
            let heard = self.journal.messages.get(row.message.activity_id.as_str());
            let heard = heard.unwrap_or_else(|| panic!("never heard: {row:?}"));
            assert!(heard.text == *text || heard.shortened, "{heard:?}");
        }
    }
}

fn chosen(requests: &mut [(Side, RequestThread)], which: usize) -> Option<&mut (Side, RequestThread)> {
    let count = requests.len();
    requests.get_mut(which.checked_rem(count)?)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_the_inbox_shows_what_is_open_and_every_answer_and_broadcast_once(case in case()) {
        let mut world = World::new(&case);
        for (millis, act) in &case.acts {
            world.pass(Duration::from_millis(u64::from(*millis)));
            world.perform(act);
        }
        world.failures = 0;
        world.pass(QUIET);
        world.check();
        // What rests costs little: each list once a minute, two when there are many, and one request that is talked about.
        let before = world.asked.len();
        world.pass(Duration::from_secs(600));
        world.check();
        let rate = (world.asked.len() - before) as f64 / 10.0;
        prop_assert!(rate <= 5.2, "{rate} a minute");
    }
}

#[test]
fn at_rest_two_requests_a_minute_are_made() {
    let case = Case {
        acts: Vec::new(),
        failures: 0,
        seed: 1,
    };
    let mut world = World::new(&case);
    world.pass(Duration::from_secs(1));
    assert_eq!(world.asked.len(), 3);
    world.pass(Duration::from_secs(600));
    assert_eq!(world.asked.len(), 3 + 20);
}
