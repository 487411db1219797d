//! What happens in one run of the model.

use proptest::prelude::*;

use super::Level;

#[derive(Clone, Debug)]
pub(super) struct Case {
    pub(super) level: Level,
    pub(super) seed: u64,
    /// (milliseconds since the one before, rows, how late each may become visible in ms, whether they share a stamp)
    pub(super) bursts: Vec<(u32, u32, u32, bool)>,
    /// Per mille of reads and commits that go wrong.
    pub(super) failures: u64,
    /// Per mille of those failed reads that break off.
    pub(super) broken: u64,
    /// Per mille of reads from a row that are answered 410.
    pub(super) gone: u64,
    pub(super) lost_hints: u64,
    /// Per mille of steps after which the process dies.
    pub(super) restarts: u64,
    /// Per mille of restarts at which the journal is lost and only the cursor file remains.
    pub(super) damage: u64,
    /// When the platform fails at everything, and for how long, in seconds.
    pub(super) ill: Vec<(u32, u32)>,
    pub(super) ignores_limit: bool,
    /// Pages of more rows than this are too large.
    pub(super) bulky: Option<usize>,
    pub(super) repeats: bool,
    /// Whether rows of one time come in another order each time.
    pub(super) shuffles: bool,
    pub(super) live: bool,
    /// Per mille of rows that do not say their time.
    pub(super) untimed: u64,
    pub(super) poison: Vec<Poison>,
}

/// A row that cannot be fetched.
#[derive(Clone, Copy, Debug)]
pub(super) struct Poison {
    /// Which row, of so many as there are, cyclically.
    pub(super) row: usize,
    /// Whether because of its size. Else the platform fails over it.
    pub(super) certain: bool,
    /// After how many seconds it can.
    pub(super) heals: Option<u32>,
}

impl Case {
    /// Nothing happens and nothing goes wrong.
    pub(super) fn quiet(level: Level, seed: u64) -> Self {
        Self {
            level,
            seed,
            bursts: Vec::new(),
            failures: 0,
            broken: 0,
            gone: 0,
            lost_hints: 0,
            restarts: 0,
            damage: 0,
            ill: Vec::new(),
            ignores_limit: false,
            bulky: None,
            repeats: false,
            shuffles: false,
            live: false,
            untimed: 0,
            poison: Vec::new(),
        }
    }

    /// Whether the platform and the process do their work throughout.
    pub(super) fn is_calm(&self) -> bool {
        self.failures == 0 && self.gone == 0 && self.restarts == 0 && self.ill.is_empty()
    }
}

fn poison() -> impl Strategy<Value = Poison> {
    let heals = prop_oneof![3 => Just(None), 1 => (0..900u32).prop_map(Some)];
    (any::<usize>(), any::<bool>(), heals).prop_map(|(row, certain, heals)| Poison { row, certain, heals })
}

/// Troubles of platform, network and process.
fn troubles() -> impl Strategy<Value = Case> {
    let often = |most: u64| prop_oneof![1 => Just(0u64), 2 => 0..most];
    let ill = prop::collection::vec((0..400u32, 1..200u32), 0..3);
    let ill = prop_oneof![2 => Just(Vec::new()), 1 => ill];
    (
        often(300),
        0..1000u64,
        often(60),
        0..1000u64,
        often(60),
        often(1000),
        ill,
        prop_oneof![1 => Just(true), 2 => Just(false)],
    )
        .prop_map(|(failures, broken, gone, lost_hints, restarts, damage, ill, calm)| {
            let case = Case {
                failures,
                broken,
                gone,
                lost_hints,
                restarts,
                damage,
                ill,
                ..Case::quiet(Level::B, 0)
            };
            if calm {
                Case {
                    lost_hints,
                    ..Case::quiet(Level::B, 0)
                }
            } else {
                case
            }
        })
}

/// Oddities of the platform and its rows.
fn oddities() -> impl Strategy<Value = Case> {
    (
        any::<bool>(),
        prop_oneof![Just(None), (50..400usize).prop_map(Some)],
        any::<bool>(),
        any::<bool>(),
        any::<bool>(),
        prop_oneof![2 => Just(0u64), 1 => 0..600u64],
        prop_oneof![2 => Just(Vec::new()), 2 => prop::collection::vec(poison(), 1..2), 1 => prop::collection::vec(poison(), 2..4)],
    )
        .prop_map(|(ignores_limit, bulky, repeats, shuffles, live, untimed, poison)| Case {
            ignores_limit,
            bulky,
            repeats,
            shuffles,
            live,
            untimed,
            poison,
            ..Case::quiet(Level::B, 0)
        })
}

/// Cases in which the promise must hold; see the module's documentation for what is left out.
pub(super) fn cases(level: Level) -> impl Strategy<Value = Case> {
    let burst = (
        prop_oneof![0..50u32, 0..3000u32, 0..60_000u32],
        prop_oneof![1..4u32, 1..60u32, 1..240u32],
        prop_oneof![Just(0u32), 0..200u32, 0..10_000u32],
        any::<bool>(),
    );
    let bursts = prop::collection::vec(burst, 0..14);
    (any::<u64>(), bursts, troubles(), oddities()).prop_map(move |(seed, mut bursts, troubles, oddities)| {
        let a = level == Level::A;
        let ignores_limit = oddities.ignores_limit && !a;
        let poison = if ignores_limit { Vec::new() } else { oddities.poison };
        let bulky = oddities.bulky.filter(|_| !a && !ignores_limit);
        let untimed = if poison.is_empty() { oddities.untimed } else { 0 };
        let troubles = if a && !poison.is_empty() {
            Case {
                restarts: 0,
                ..troubles
            }
        } else {
            troubles
        };
        for (gap, rows, _, tied) in &mut bursts {
            if a {
                (*gap, *rows) = (*gap + 20_000, (*rows).min(60));
            }
            if *tied {
                (*gap, *rows) = ((*gap).max(1), (*rows).min(if bulky.is_some() { 40 } else { 90 }));
            }
        }
        Case {
            level,
            seed,
            bursts,
            gone: if a { 0 } else { troubles.gone },
            restarts: troubles.restarts.min(if a { 5 } else { 1000 }),
            ignores_limit,
            bulky,
            repeats: oddities.repeats,
            shuffles: oddities.shuffles && poison.is_empty(),
            live: oddities.live,
            untimed,
            damage: if untimed == 0 { troubles.damage } else { 0 },
            poison,
            ..troubles
        }
    })
}
