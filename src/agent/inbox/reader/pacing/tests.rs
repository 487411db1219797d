use super::*;

const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// A pacing that has made its first full sweep at zero.
fn swept() -> Pacing {
    let mut pacing = Pacing::new(Timing::REAL, Duration::ZERO);
    assert_eq!(pacing.due(Duration::ZERO, None), Ok(Errand::Full));
    pacing.begun(Duration::ZERO, Errand::Full);
    pacing.finished(Errand::Full, Duration::ZERO, ms(5));
    pacing
}

/// Runs until `end`, giving every errand 5 ms; returns what was done when.
fn run(pacing: &mut Pacing, mut now: Duration, end: Duration, unsettled: &mut Option<Duration>) -> Vec<(u64, Errand)> {
    let mut done = Vec::new();
    while now < end {
        match pacing.due(now, *unsettled) {
            Err(wait) => now += wait,
            Ok(errand) => {
                done.push((u64::try_from(now.as_millis()).unwrap(), errand));
                pacing.begun(now, errand);
                pacing.finished(errand, now, now + ms(5));
                if errand == Errand::Full && unsettled.is_some_and(|seen| seen + SETTLING <= now) {
                    *unsettled = None;
                }
                now += ms(5);
            }
        }
    }
    done
}

#[test]
fn one_message_costs_three_near_sweeps_and_one_full_sweep_and_then_all_is_still() {
    let mut pacing = swept();
    pacing.live(true);
    pacing.sighted(ms(10));
    let done = run(&mut pacing, ms(10), Duration::from_secs(200), &mut Some(ms(10)));
    let sweeps: Vec<_> = done
        .iter()
        .filter(|(_, errand)| !matches!(errand, Errand::Fast { .. }))
        .collect();
    assert_eq!(
        sweeps,
        [
            &(210, Errand::Near),
            &(1010, Errand::Near),
            &(5010, Errand::Near),
            &(45_010, Errand::Full)
        ]
    );
    assert_eq!(done.len() - sweeps.len(), 6, "{done:?}");
}

#[test]
fn the_timer_is_30_s_with_a_live_stream_and_5_s_without() {
    for (live, expected) in [(true, 30), (false, 5)] {
        let mut pacing = swept();
        pacing.live(live);
        assert_eq!(pacing.due(ms(0), None), Err(Duration::from_secs(expected)));
        pacing.timer_at_least(Duration::from_secs(80));
        assert_eq!(pacing.due(ms(0), None), Err(Duration::from_secs(80)));
    }
}

#[test]
fn a_row_without_a_hint_shortens_the_timer_for_ten_minutes_unless_the_hint_was_only_late() {
    for (late_hint, expected) in [(false, 5), (true, 30)] {
        let mut pacing = swept();
        pacing.live(true);
        pacing.unhinted(ms(100));
        if late_hint {
            pacing.hint();
            pacing.begun(ms(200), Errand::Fast { hinted: true });
            pacing.finished(Errand::Fast { hinted: true }, ms(200), ms(205));
        }
        let _ = pacing.due(ms(2100), None);
        pacing.finished(Errand::Fast { hinted: false }, ms(3000), ms(3000));
        assert_eq!(pacing.due(ms(3000), None), Err(Duration::from_secs(expected)));
        let later = Duration::from_secs(605);
        pacing.compare_soon(later + later);
        pacing.finished(Errand::Fast { hinted: false }, later, later);
        assert_eq!(pacing.due(later, None), Err(Duration::from_secs(30)));
    }
}

/// Hints all the time; the gaps between the reads, of which each brings a new row or none does.
fn gaps(pacing: &mut Pacing, mut now: Duration, count: usize, in_vain: bool) -> (Vec<Duration>, Duration) {
    let mut starts = Vec::new();
    while starts.len() <= count {
        pacing.hint();
        match pacing.due(now, None) {
            Err(wait) => now += wait,
            Ok(errand @ Errand::Fast { hinted: true }) => {
                pacing.begun(now, errand);
                starts.push(now);
                if !in_vain {
                    pacing.sighted(now);
                }
                pacing.finished(errand, now, now);
            }
            Ok(sweep) => {
                pacing.begun(now, sweep);
                pacing.finished(sweep, now, now);
            }
        }
    }
    (starts.windows(2).map(|pair| pair[1] - pair[0]).collect(), now)
}

#[test]
fn hints_in_vain_are_followed_at_once_and_in_the_long_run_once_a_second() {
    let mut pacing = swept();
    let (quick, now) = gaps(&mut pacing, Duration::from_secs(1), 20, true);
    assert!(quick.iter().all(|gap| *gap == ms(100)), "{quick:?}");
    let (slow, now) = gaps(&mut pacing, now, 40, true);
    assert!(slow[10..].iter().all(|gap| *gap >= ms(1000)), "{slow:?}");
    // After a while of silence the credit is back.
    let (quick, _) = gaps(&mut pacing, now + Duration::from_secs(21), 20, true);
    assert!(quick.iter().all(|gap| *gap == ms(100)), "{quick:?}");
}

#[test]
fn a_conversation_is_never_slowed_down_and_a_burst_to_two_reads_a_second() {
    let mut pacing = swept();
    let mut now = Duration::from_secs(1);
    for _ in 0..500 {
        pacing.hint();
        while let Ok(errand) = pacing.due(now, None) {
            pacing.begun(now, errand);
            if errand == (Errand::Fast { hinted: true }) {
                pacing.sighted(now);
            }
            pacing.finished(errand, now, now);
            now += ms(1);
        }
        assert!(!pacing.hinted || pacing.hint_due() <= now + ms(100), "at {now:?}");
        now += ms(600);
    }
    let (burst, _) = gaps(&mut pacing, now, 200, false);
    let tail: Duration = burst[100..].iter().sum();
    assert!(
        tail >= Duration::from_secs(48) && tail <= Duration::from_secs(60),
        "{tail:?}"
    );
}

#[test]
fn a_flood_of_hints_does_not_starve_the_sweeps() {
    let mut pacing = swept();
    let mut now = ms(1000);
    let mut sweeps = 0;
    for _ in 0..2000 {
        pacing.hint();
        pacing.sighted(now);
        match pacing.due(now, Some(Duration::ZERO)) {
            Err(wait) => now += wait.min(ms(20)),
            Ok(errand) => {
                sweeps += u64::from(!matches!(errand, Errand::Fast { .. }));
                pacing.begun(now, errand);
                now += ms(150);
                pacing.finished(errand, now, now);
            }
        }
    }
    assert!(sweeps + 2 > now.as_secs() / 5, "{sweeps} in {now:?}");
}

#[test]
fn a_hint_and_a_sweep_that_are_both_due_take_turns_and_a_comparison_answers_no_hint() {
    let mut pacing = swept();
    let now = Duration::from_secs(1000);
    let turns: Vec<_> = (0..4)
        .map(|_| {
            pacing.hint();
            pacing.compare_soon(now);
            let errand = pacing.due(now, None).unwrap();
            pacing.begun(now - ms(200), errand);
            errand
        })
        .collect();
    let hinted = Errand::Fast { hinted: true };
    assert_eq!(turns, [hinted, Errand::Compare, hinted, Errand::Compare]);
    pacing.finished(Errand::Compare, now, now);
    assert_eq!(pacing.due(now, None), Ok(hinted));
}

/// After a sweep in between, whatever it was for, the next one waits for the last sighting and not for the sweep.
#[test]
fn the_sweep_that_settles_all_comes_45_s_after_the_last_sighting_and_once() {
    let secs = Duration::from_secs;
    let mut pacing = swept();
    pacing.sighted(secs(10));
    pacing.begun(secs(40), Errand::Full);
    pacing.finished(Errand::Full, secs(40), secs(40));
    let done = run(&mut pacing, secs(40), secs(55) + ms(1), &mut Some(secs(10)));
    assert_eq!(done.last(), Some(&(55_000, Errand::Full)), "{done:?}");
    let early = run(&mut pacing, secs(56), secs(99), &mut Some(secs(54)));
    assert!(early.iter().all(|(_, errand)| *errand != Errand::Full), "{early:?}");
}

#[test]
fn scarce_requests_are_5_s_apart_until_the_window_is_refilled() {
    let mut pacing = swept();
    pacing.requested(ms(0));
    pacing.budget(ms(0), Some(119), Some(Duration::from_secs(20)));
    assert_eq!(pacing.blocked(ms(1000)), Some(ms(4000)));
    assert_eq!(pacing.blocked(ms(5000)), None);
    pacing.requested(ms(19_000));
    assert_eq!(pacing.blocked(ms(20_000)), None);
    pacing.budget(ms(20_000), Some(120), None);
    pacing.pause(ms(20_000), ms(700));
    assert_eq!(pacing.blocked(ms(20_100)), Some(ms(600)));
}

#[test]
fn every_ten_minutes_and_on_demand_one_page_is_compared() {
    let mut pacing = swept();
    let done = run(&mut pacing, ms(10), Duration::from_secs(1300), &mut None);
    let compares: Vec<_> = done.iter().filter(|(_, errand)| *errand == Errand::Compare).collect();
    assert_eq!(compares.len(), 2, "{compares:?}");
    pacing.compare_soon(Duration::from_secs(1301));
    assert_eq!(pacing.due(Duration::from_secs(1301), None), Ok(Errand::Compare));
}
