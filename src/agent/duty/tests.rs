//! Who takes which duty, and who makes room for whom: several processes of one folder, without a platform.

use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;
use tokio::time::timeout;

use super::election::Won;
use super::holding::GaveUp;
use super::*;
use crate::config::proxy::Route;
use crate::platform::client::{Client, Settings};
use crate::state::health::Trouble;
use crate::state::lock::{DutyLock, Grade, Taken};
use crate::state::record::SILENT_AFTER;
use crate::types::Timestamp;

const MINUTE: Duration = Duration::from_secs(60);

/// A process of the folder, with these variables set.
pub(super) async fn process(folder: &Path, switched_off: &[&str]) -> Office {
    let folder_text = folder.to_str().unwrap();
    let config = Config::read(|name| {
        let value = match name {
            "CONFIGS_DIR" => folder_text,
            "PLATFORM_URL" => "http://127.0.0.1:1",
            "WORKSPACE_ID" => "5f0c1d2e-0000-4000-8000-00000000000a",
            "MOLECULE_WORKSPACE_TOKEN" => "tok-0123456789",
            _ => switched_off.contains(&name).then_some("1")?,
        };
        Some(value.into())
    })
    .unwrap();
    let origin = config.platform.to_string();
    let own = config.first().clone();
    let client = Client::new(Settings {
        base: own.platform.clone(),
        org_id: None,
        org_slug: None,
        route: Route::default(),
    });
    Office::new(Duties {
        api: WorkspaceApi::new(client, own.workspace.clone(), own.token.clone()),
        journal: Journal::open(folder, &origin, &own.workspace, MINUTE).await.unwrap(),
        health: HealthBoard::default(),
        record: HealthFile::new(folder, &origin, &own.workspace),
        stream: Stream::new(),
        holder: watch::Sender::new(false),
        started: Instant::now(),
        looks: Looks::default(),
        naming: Naming::Plain,
        own,
        config: Arc::new(config),
    })
}

pub(super) const PRESENT: &[&str] = &["MOLECULE_MCP_DISABLE_INBOX"];
pub(super) const READER: &[&str] = &["MOLECULE_MCP_DISABLE_HEARTBEAT"];

/// Wins a duty as `serve` would, or does not within the time.
async fn win(office: &Office, duty: Duty, within: Duration) -> Option<Won> {
    let mut election = Election::open(office, duty).await;
    let won = timeout(within, election.win(None)).await.ok()?;
    office.begin(duty);
    Some(won)
}

/// The lock, as another process takes it that does not move any more.
fn locked_elsewhere(office: &Office, duty: Duty) -> DutyLock {
    match office.files.open(duty).unwrap().try_take().unwrap() {
        Taken::Ours(lock) => lock,
        other => panic!("{other:?}"),
    }
}

/// Why a holder gives a duty up while somebody is a candidate, if it does.
async fn gives_up(office: &Office, duty: Duty, lock: DutyLock, candidate: Option<Grade>) -> Option<GaveUp> {
    let _candidacy = candidate.map(|grade| office.files.announce(duty, grade).unwrap());
    let lock = std::sync::Arc::new(lock);
    let wanted = office.wanted_elsewhere(duty, &lock, Duration::ZERO);
    timeout(MINUTE / 6, wanted).await.ok()
}

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_process_alone_takes_both_at_once() {
    let folder = folder();
    let office = process(folder.path(), &[]).await;
    let begun = Instant::now();
    let (presence, reading) = tokio::join!(
        win(&office, Duty::Presence, MINUTE),
        win(&office, Duty::Reading, MINUTE)
    );
    let (presence, reading) = (presence.unwrap(), reading.unwrap());
    assert!(!presence.handed_over && !reading.handed_over);
    assert!(begun.elapsed() < TRY_AGAIN / 2, "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn whoever_keeps_the_workspace_present_reads_and_another_whole_process_does_not_come_between() {
    let folder = folder();
    let (one, two) = (process(folder.path(), &[]).await, process(folder.path(), &[]).await);
    let _presence = win(&one, Duty::Presence, MINUTE).await.unwrap();
    // The other one looks first, and finds reading free.
    let mut second_presence = Election::open(&two, Duty::Presence).await;
    let (first, second, _) = tokio::join!(
        async {
            tokio::time::sleep(TRY_AGAIN / 4).await;
            win(&one, Duty::Reading, MINUTE / 6).await
        },
        win(&two, Duty::Reading, MINUTE / 6),
        timeout(MINUTE / 6, second_presence.win(None)),
    );
    assert!(first.is_some() && second.is_none());
    assert_eq!(two.duties.health.now().role(Duty::Reading), Role::Follower);
}

/// What the process that keeps the workspace present wrote a minute ago.
fn write_old_record(office: &Office, folder: &Path, reading: Role) {
    let part = Health {
        reading,
        ..Health::default()
    };
    office.duties.record.write(Duty::Presence, &part).unwrap();
    let is_record = |path: &std::path::PathBuf| path.extension().is_some_and(|ending| ending == "json");
    let mut paths = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let path = paths.find(is_record).unwrap();
    let mut record: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    let written = &mut record["written"]["since"]["secs"];
    *written = written.as_u64().unwrap().saturating_sub(MINUTE.as_secs()).into();
    std::fs::write(&path, record.to_string()).unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_whole_process_reads_without_being_present_only_where_nobody_else_does_both() {
    for (reading, earliest) in [(Role::Off, Duration::ZERO), (Role::Follower, SILENT_AFTER)] {
        let folder = folder();
        let office = process(folder.path(), &[]).await;
        let _present = locked_elsewhere(&office, Duty::Presence);
        write_old_record(&office, folder.path(), reading);
        let begun = Instant::now();
        let mut presence = Election::open(&office, Duty::Presence).await;
        let won = tokio::select! {
            won = win(&office, Duty::Reading, 2 * MINUTE) => won,
            _ = presence.win(None) => unreachable!(),
        };
        assert!(won.is_some());
        let took = begun.elapsed();
        assert!(
            took >= earliest && took <= earliest + 3 * TRY_AGAIN,
            "{reading:?}: {took:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_duty_that_becomes_free_is_taken_within_a_second() {
    let folder = folder();
    let office = process(folder.path(), &[]).await;
    for duty in [Duty::Presence, Duty::Reading] {
        let held = locked_elsewhere(&office, duty);
        let free = async {
            tokio::time::sleep(MINUTE).await;
            drop(held);
            Instant::now()
        };
        let (won, freed) = tokio::join!(win(&office, duty, 2 * MINUTE), free);
        let won = won.unwrap();
        assert!(won.handed_over && won.late && !won.unclaimed, "{duty}");
        assert!(freed.elapsed() <= TRY_AGAIN, "{duty}: {:?}", freed.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn a_holder_makes_room_for_one_that_does_better_and_for_no_other() {
    use {Duty::*, Grade::*};
    for (switched_off, duty, candidate, expected) in [
        (PRESENT, Presence, None, None),
        (PRESENT, Presence, Some(Able), None),
        (PRESENT, Presence, Some(Better), Some(GaveUp::Lesser)),
        (READER, Reading, Some(Able), None),
        (READER, Reading, Some(Better), Some(GaveUp::Lesser)),
        (&[], Presence, Some(Better), None),
    ] {
        let folder = folder();
        let office = process(folder.path(), switched_off).await;
        let won = win(&office, duty, MINUTE).await.unwrap();
        let gave_up = gives_up(&office, duty, won.lock, candidate).await;
        assert_eq!(gave_up, expected, "{switched_off:?} {duty} {candidate:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_whole_process_that_only_reads_makes_room_for_the_one_that_is_present() {
    let folder = folder();
    let office = process(folder.path(), &[]).await;
    office.set_role(Duty::Presence, Role::Follower);
    office.begin(Duty::Reading);
    let lock = locked_elsewhere(&office, Duty::Reading);
    let gave_up = gives_up(&office, Duty::Reading, lock, Some(Grade::Better)).await;
    assert_eq!(gave_up, Some(GaveUp::Lesser));
    office.begin(Duty::Presence);
    let lock = locked_elsewhere(&office, Duty::Reading);
    assert_eq!(gives_up(&office, Duty::Reading, lock, Some(Grade::Better)).await, None);
}

#[tokio::test(start_paused = true)]
async fn a_refused_holder_makes_room_for_any_candidate_and_stays_when_there_is_none() {
    for (refusals, read_refused) in [(3, false), (0, true)] {
        for (candidate, expected) in [(None, None), (Some(Grade::Able), Some(GaveUp::Refused))] {
            let folder = folder();
            let office = process(folder.path(), &[]).await;
            let won = win(&office, Duty::Presence, MINUTE).await.unwrap();
            office.pulse.send_modify(|pulse| pulse.refusals = refusals);
            office.duties.health.update(|health| {
                health.read_trouble = read_refused.then(|| Trouble {
                    code: "AUTH_ERROR".to_owned(),
                    what: String::new(),
                    remedy: String::new(),
                });
            });
            let gave_up = gives_up(&office, Duty::Presence, won.lock, candidate).await;
            assert_eq!(gave_up, expected, "{refusals} {read_refused}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_duty_that_was_given_up_and_that_nobody_took_is_taken_back_and_then_kept_for_a_minute() {
    let folder = folder();
    for (gave_up, wait) in [(GaveUp::Lesser, 2 * TRY_AGAIN), (GaveUp::Refused, MINUTE)] {
        let office = process(folder.path(), PRESENT).await;
        let mut election = Election::open(&office, Duty::Presence).await;
        let begun = Instant::now();
        let won = timeout(2 * MINUTE, election.win(Some(gave_up))).await.unwrap();
        assert!(won.unclaimed, "{gave_up:?}");
        assert!(
            begun.elapsed() >= wait && begun.elapsed() <= wait + TRY_AGAIN,
            "{gave_up:?}"
        );
    }
}

#[cfg(unix)]
#[tokio::test(start_paused = true)]
async fn a_replaced_folder_is_told_and_its_duties_are_not_taken() {
    let parent = folder();
    let path = parent.path().join("state");
    std::fs::create_dir(&path).unwrap();
    let office = process(&path, &[]).await;
    let held = locked_elsewhere(&office, Duty::Presence);
    let mut election = Election::open(&office, Duty::Presence).await;
    std::fs::remove_dir_all(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    drop(held);
    assert!(timeout(MINUTE, election.win(None)).await.is_err());
    assert_eq!(std::fs::read_dir(&path).unwrap().count(), 0);
    let health = office.duties.health.now();
    assert_eq!(health.journal_trouble.unwrap().code, "STATE_DIR_GONE");
    assert_eq!(health.presence, Role::Unable);
}

#[tokio::test(start_paused = true)]
async fn a_process_with_its_inbox_off_looks_after_outgoing_work_while_nobody_reads() {
    let folder = folder();
    let office = process(folder.path(), PRESENT).await;
    let mut holder = office.duties.holder.subscribe();
    let mut election = Election::open(&office, Duty::Reading).await;
    tokio::select! {
        () = election.look_on() => unreachable!(),
        () = async {
            holder.wait_for(|holder| *holder).await.unwrap();
            let held = locked_elsewhere(&office, Duty::Reading);
            holder.wait_for(|holder| !holder).await.unwrap();
            drop(held);
            holder.wait_for(|holder| *holder).await.unwrap();
        } => {}
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_holder_elsewhere_tells_is_taken_in() {
    let folder = folder();
    let office = process(folder.path(), READER).await;
    let (refused, record) = (office.refused_elsewhere.subscribe(), office.duties.record.clone());
    let mut reader = elsewhere::Elsewhere::new(&office, Duty::Reading);
    let part = Health {
        read: Some(Timestamp(1)),
        removed: true,
        ..Health::default()
    };
    record.write(Duty::Reading, &part).unwrap();
    reader.look().await;
    assert!(*refused.borrow());
    reader.is_over();
    assert!(!*refused.borrow());

    let mut present = elsewhere::Elsewhere::new(&office, Duty::Presence);
    let trouble = || office.duties.health.now().beat_trouble.map(|trouble| trouble.code);
    present.look().await;
    assert_eq!(trouble(), None, "it may have just begun");
    tokio::time::sleep(MINUTE).await;
    present.look().await;
    assert_eq!(trouble().as_deref(), Some("HOLDER_SILENT"));
    record.write(Duty::Presence, &Health::default()).unwrap();
    present.look().await;
    assert_eq!(trouble(), None);
}
