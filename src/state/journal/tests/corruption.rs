//! The journal's files damaged in every way a disk knows: cut, flipped, never written, written elsewhere, torn. Whatever is left
//! of them: no panic, no altered text, and nothing is lost, shown again or sent again without being told.

use std::fs;
use std::time::Duration;

use proptest::prelude::*;

use super::oracle::{Lived, MESSAGES, NAMES, PAGE, inspect, name, no_panic};
use crate::state::journal::JournalError;
use crate::state::journal::fixture::{end, id, message};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sound_files_are_no_alarm() {
    let lived = Lived::new().await;
    for (what, image) in [("killed", &lived.killed), ("closed", &lived.closed)] {
        assert!(!inspect(what, image).await, "{what}: a false alarm");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_page_of_the_database_may_be_lost_in_any_way() {
    let Lived { earlier, closed, .. } = Lived::new().await;
    let pages = closed.0[0].len() / PAGE;
    assert!(pages > 20, "{pages}");
    let page = |n: usize| n * PAGE..(n + 1) * PAGE;
    for n in 0..pages {
        let told = inspect(
            &format!("cut after {n} pages"),
            &closed.with(0, |db| db.truncate(n * PAGE)),
        )
        .await;
        assert!(told, "cut after {n} pages");
        let cut = closed.with(0, |db| db.truncate(n * PAGE + 100));
        assert!(
            inspect(&format!("cut within page {n}"), &cut).await,
            "cut within page {n}"
        );
        let zero = closed.with(0, |db| db[page(n)].fill(0));
        inspect(&format!("page {n} of zeroes"), &zero).await;
        let elsewhere = closed.with(0, |db| db.copy_within(page((n + 1) % pages), n * PAGE));
        inspect(&format!("page {n} written over"), &elsewhere).await;
        if earlier.0[0].len() >= (n + 1) * PAGE {
            let stale = closed.with(0, |db| db[page(n)].copy_from_slice(&earlier.0[0][page(n)]));
            inspect(&format!("page {n} never written"), &stale).await;
            let half = n * PAGE..n * PAGE + PAGE / 2;
            let torn = closed.with(0, |db| db[half.clone()].copy_from_slice(&earlier.0[0][half]));
            inspect(&format!("page {n} torn"), &torn).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flipped_bit_anywhere_alters_no_text_and_hides_nothing_silently() {
    let Lived { closed, killed, .. } = Lived::new().await;
    // Prime steps and changing bits reach every page, header and column over time.
    for (file, step, image) in [(0, 997, &closed), (1, 9973, &killed)] {
        for (round, at) in (0..image.0[file].len()).step_by(step).enumerate() {
            let bit = round % 8;
            let flipped = image.with(file, |bytes| bytes[at] ^= 1 << bit);
            inspect(&format!("bit {bit} of byte {at} of {}", NAMES[file]), &flipped).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flipped_bit_in_a_message_alters_nothing() {
    let closed = Lived::new().await.closed;
    let needle = b"text of m-7";
    let start = closed.0[0]
        .windows(needle.len())
        .position(|part| part == needle)
        .unwrap();
    for at in (start - 400..start + 60).step_by(7) {
        let flipped = closed.with(0, |db| db[at] ^= 1 << (at % 8));
        inspect(&format!("byte {at}; its text begins at {start}"), &flipped).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_cut_at_any_frame_is_told_of() {
    let killed = Lived::new().await.killed;
    let frames = (killed.0[1].len() - 32) / (PAGE + 24);
    assert!(frames > 10, "{frames}");
    for n in 0..frames {
        for (end, what) in [
            (32 + n * (PAGE + 24), "before"),
            (32 + n * (PAGE + 24) + 1000, "within"),
        ] {
            let cut = killed.with(1, |log| log.truncate(end));
            let told = inspect(&format!("cut {what} frame {n} of the log"), &cut).await;
            assert!(told, "cut {what} frame {n} of {frames}");
        }
    }
    assert!(inspect("without its log", &killed.with(1, Vec::clear)).await);
}

#[tokio::test]
async fn a_file_that_goes_bad_while_it_is_open_is_told_and_replaced_at_the_next_start() {
    let folder = Lived::new().await.closed.restore();
    let journal = folder.open().await;
    let path = folder.path().join("molecule.db");
    let mut bytes = fs::read(&path).unwrap();
    bytes[PAGE..].fill(0x55);
    fs::write(&path, &bytes).unwrap();
    // Pages that were read before are in memory; a new session has none, but may not take the file away.
    let second = folder.try_open("w", Duration::from_secs(3600)).await;
    assert!(matches!(second, Err(JournalError::Damaged(_))), "{second:?}");
    for n in 0..MESSAGES {
        let name = name(n);
        match journal.find(&id(&name)).await {
            Ok(Some(entry)) => assert_eq!(entry.message, message(&name, n)),
            Ok(None) => panic!("{name} is hidden, and nothing is said"),
            Err(error) => no_panic("while it is open", &error),
        }
    }
    end(journal).await;
    assert!(folder.open().await.replaced().is_some());
}

/// One misfortune; positions are shares of the file.
#[derive(Clone, Debug)]
enum Misfortune {
    Flip { at: u32, bit: u8 },
    Fill { at: u32, length: usize, byte: u8 },
    Cut { at: u32 },
    Misplace { from: u32, to: u32, length: usize },
    Stale { page: u32 },
}

fn misfortune() -> impl Strategy<Value = (usize, Misfortune)> {
    let at = || 0..10_000_u32;
    let length = || prop_oneof![1..40_usize, Just(512), Just(PAGE)];
    let what = prop_oneof![
        4 => (at(), 0..8_u8).prop_map(|(at, bit)| Misfortune::Flip { at, bit }),
        2 => (at(), length(), any::<u8>()).prop_map(|(at, length, byte)| Misfortune::Fill { at, length, byte }),
        1 => at().prop_map(|at| Misfortune::Cut { at }),
        2 => (at(), at(), length()).prop_map(|(from, to, length)| Misfortune::Misplace { from, to, length }),
        1 => at().prop_map(|page| Misfortune::Stale { page }),
    ];
    (0..2_usize, what)
}

impl Misfortune {
    fn befall(&self, bytes: &mut Vec<u8>, earlier: &[u8]) {
        let size = bytes.len();
        if size == 0 {
            return;
        }
        let place = |share: u32| share as usize * size / 10_000;
        match *self {
            Self::Flip { at, bit } => bytes[place(at)] ^= 1 << bit,
            Self::Fill { at, length, byte } => {
                let at = place(at);
                bytes[at..size.min(at + length)].fill(byte);
            }
            Self::Cut { at } => bytes.truncate(place(at)),
            Self::Misplace { from, to, length } => {
                let (mut from, mut to) = (place(from), place(to));
                if length == PAGE {
                    (from, to) = (from / PAGE * PAGE, to / PAGE * PAGE);
                }
                let length = length.min(size - from).min(size - to);
                bytes.copy_within(from..from + length, to);
            }
            Self::Stale { page } => {
                let begin = place(page) / PAGE * PAGE;
                let end = (begin + PAGE).min(size).min(earlier.len());
                if begin < end {
                    bytes[begin..end].copy_from_slice(&earlier[begin..end]);
                }
            }
        }
    }
}

/// Few enough for every run of all tests; `PROPTEST_CASES` asks for more.
fn wanted_cases() -> u32 {
    let wanted = std::env::var("PROPTEST_CASES").ok().and_then(|text| text.parse().ok());
    wanted.unwrap_or(60)
}

#[test]
fn several_misfortunes_at_once_are_no_worse() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let lived = runtime.block_on(Lived::new());
    let config = ProptestConfig {
        cases: wanted_cases(),
        max_shrink_iters: 200,
        ..ProptestConfig::with_source_file(file!())
    };
    let cases = (any::<bool>(), prop::collection::vec(misfortune(), 1..4));
    proptest!(config, |((was_killed, misfortunes) in cases)| {
        let mut image = if was_killed { lived.killed.clone() } else { lived.closed.clone() };
        for (file, misfortune) in &misfortunes {
            misfortune.befall(&mut image.0[*file], &lived.earlier.0[0]);
        }
        runtime.block_on(inspect(&format!("{was_killed} {misfortunes:?}"), &image));
    });
}
