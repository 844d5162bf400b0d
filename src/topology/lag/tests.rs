use proptest::prelude::*;

use super::*;
use crate::topology::Flavour;

const UUID: &str = "819b2208-0000-0000-0000-00000000000a";

/// The first `count` transactions of one MySQL server.
fn first(count: u64) -> Gtids {
    let text = if count == 0 { String::new() } else { format!("{UUID}:1-{count}") };
    Gtids::parse(Flavour::MySql, &text).unwrap()
}

fn mariadb(text: &str) -> Gtids {
    Gtids::parse(Flavour::MariaDb, text).unwrap()
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// A primary that is polled every 500 ms and has the first `counts[n]` transactions at poll `n`.
fn polled(counts: impl IntoIterator<Item = u64>) -> (Lags, Instant) {
    let start = Instant::now();
    let mut lags = Lags::default();
    for (poll, count) in counts.into_iter().enumerate() {
        lags.note_primary(start + ms(500 * poll as u64), &first(count));
    }
    (lags, start)
}

#[test]
fn before_the_primary_was_asked_nothing_is_known() {
    let (mut lags, start) = polled([10]);
    assert_eq!(Lags::default().of(&first(10), start), None);
    lags.reset();
    assert_eq!(lags.of(&first(10), start), None);
}

#[test]
fn an_idle_primary_leaves_nobody_behind() {
    let (lags, start) = polled([10; 1000]);
    assert_eq!(lags.of(&first(10), start + ms(500_000)), Some(Duration::ZERO));
    assert_eq!(lags.of(&first(12), start + ms(500_000)), Some(Duration::ZERO), "it was asked later");
}

#[test]
fn a_stopped_applier_falls_behind_with_the_next_write_and_no_sooner() {
    let (mut lags, start) = polled([10; 21]);
    let stopped = first(10);
    assert_eq!(lags.of(&stopped, start + ms(10_000)), Some(Duration::ZERO));
    lags.note_primary(start + ms(10_500), &first(11));
    assert_eq!(lags.of(&stopped, start + ms(10_500)), Some(ms(500)), "the write came after the poll at 10 s");
    // The primary is idle again, and the one transaction is still missing.
    lags.note_primary(start + ms(11_000), &first(11));
    assert_eq!(lags.of(&stopped, start + ms(70_000)), Some(ms(60_000)));
    assert_eq!(lags.of(&first(11), start + ms(70_000)), Some(Duration::ZERO), "it has caught up");
}

#[test]
fn a_delayed_replica_is_as_far_behind_as_its_delay() {
    // 20 writes per poll, so 40 in a second; 5 s are 200 writes.
    let (lags, start) = polled((0..200).map(|poll| poll * 20));
    let now = start + ms(500 * 199);
    assert_eq!(lags.of(&first(199 * 20 - 200), now), Some(ms(5000)));
    let lag = lags.of(&first(199 * 20 - 205), now).unwrap();
    assert!((ms(5000)..=ms(5500)).contains(&lag), "{lag:?}");
}

#[test]
fn under_load_a_replica_that_lacks_the_last_few_is_hardly_behind() {
    let (lags, start) = polled([0, 1000, 2000]);
    let lag = lags.of(&first(1998), start + ms(1000)).unwrap();
    assert!(lag <= ms(2), "{lag:?}: it lacks 2 of 1000 that came in 500 ms");
}

#[test]
fn a_burst_is_behind_since_it_came() {
    let (lags, start) = polled([10, 10, 90_010, 90_010, 90_010]);
    let now = start + ms(2000);
    assert_eq!(lags.of(&first(10), now), Some(ms(1500)));
    let halfway = lags.of(&first(45_010), now).unwrap();
    assert!((ms(1000)..ms(1500)).contains(&halfway), "{halfway:?}");
}

#[test]
fn of_what_was_missing_from_the_start_only_the_least_is_known() {
    let (lags, start) = polled([10, 20]);
    assert_eq!(lags.of(&first(3), start + ms(4000)), Some(ms(4000)), "at least since the first sample");
    assert_eq!(lags.of(&first(0), start + ms(4000)), Some(ms(4000)));
}

#[test]
fn of_what_was_missing_from_the_start_others_know_how_long_or_nobody() {
    let (lags, start) = polled([10, 20]);
    let known = |has: u64, said: Option<u64>| lags.known(&first(has), start + ms(4000), said.map(ms));
    assert_eq!(known(3, None), None, "unknown is not the little that is sure");
    assert_eq!(known(3, Some(90_000)), Some(ms(90_000)));
    assert_eq!(known(3, Some(0)), Some(ms(4000)), "it is no less than what is sure");
    assert_eq!(known(15, Some(90_000)), Some(ms(3750)), "of what came later dauphin knows best");
    assert_eq!(known(20, None), Some(Duration::ZERO));
    assert_eq!(Lags::default().known(&first(3), start, Some(ms(1))), None, "before the primary was asked");
}

#[test]
fn a_primary_that_cannot_be_asked_freezes_nothing_but_the_news() {
    let (lags, start) = polled([10, 20]);
    assert_eq!(lags.of(&first(19), start + ms(60_500)), Some(ms(60_050)));
    assert_eq!(lags.of(&first(20), start + ms(60_500)), Some(Duration::ZERO));
}

#[test]
fn another_primary_or_a_rebuilt_one_begins_anew() {
    let (mut lags, start) = polled([10, 20]);
    lags.note_primary(start + ms(1000), &first(5));
    assert_eq!(lags.of(&first(5), start + ms(1000)), Some(Duration::ZERO));
    assert_eq!(lags.of(&first(4), start + ms(1200)), Some(ms(200)));
}

#[test]
fn a_hole_left_by_parallel_appliers_counts() {
    let (lags, start) = polled([10, 20, 30]);
    let holed = Gtids::parse(Flavour::MySql, &format!("{UUID}:1-12:14-30")).unwrap();
    let lag = lags.of(&holed, start + ms(1000)).unwrap();
    assert!((ms(500)..=ms(1000)).contains(&lag), "{lag:?}");
}

#[test]
fn mariadb_is_compared_by_domain() {
    let start = Instant::now();
    let mut lags = Lags::default();
    // A failover from server 1 to server 2 lies behind it.
    lags.note_primary(start, &mariadb("0-1-24,0-2-30"));
    lags.note_primary(start + ms(500), &mariadb("0-1-24,0-2-40"));
    lags.note_primary(start + ms(1000), &mariadb("0-1-24,0-2-40,7-2-1"));
    let at = |text: &str| lags.of(&mariadb(text), start + ms(2000));
    assert_eq!(
        at("0-2-40,7-2-1"),
        Some(Duration::ZERO),
        "made from a copy: it knows the last positions only"
    );
    assert_eq!(at("0-1-24,0-2-40"), Some(ms(1500)), "nothing of domain 7");
    assert_eq!(at("0-2-30"), Some(ms(2000)));
    assert_eq!(at("0-2-35"), Some(ms(1750)));
}

#[test]
fn the_steps_stay_bounded_and_reach_back_to_the_start() {
    let (lags, start) = polled((0..100_000).map(|poll| 10 + poll));
    assert!(lags.0.as_ref().unwrap().steps.len() <= MOST_STEPS);
    let now = start + ms(500 * 99_999);
    let hour = lags.of(&first(10 + 99_999 - 7200), now).unwrap();
    assert!((ms(3_600_000)..=ms(3_600_500)).contains(&hour), "{hour:?}");
    assert_eq!(lags.of(&first(10), now), Some(now - start));
}

proptest! {
    /// With even writes the lag is right to one poll, wherever the replica is and whatever was joined meanwhile.
    #[test]
    fn the_lag_is_right_to_one_poll(polls in 2_u64..3000, rate in 1_u64..50, missing in 0_f64..1.0) {
        let (lags, start) = polled((0..polls).map(|poll| 5 + poll * rate));
        let now = start + ms(500 * (polls - 1));
        let newest = (polls - 1) * rate;
        let has = newest - (newest as f64 * missing) as u64;
        let lag = lags.of(&first(5 + has), now).unwrap();
        if has == newest {
            prop_assert_eq!(lag, Duration::ZERO);
        } else {
            let exact = Duration::from_secs_f64((newest - has) as f64 / rate as f64 / 2.0);
            let error = lag.abs_diff(exact);
            prop_assert!(error <= ms(500), "{:?} for {:?}", lag, exact);
        }
    }

    /// Who has more is never further behind.
    #[test]
    fn applying_more_never_adds_lag(grown in prop::collection::vec(0_u64..1000, 1..700), a: u16, b: u16) {
        let counts: Vec<u64> = grown.iter().scan(10, |sum, more| { *sum += more; Some(*sum) }).collect();
        let last = *counts.last().unwrap();
        let (lags, start) = polled(counts.iter().copied());
        let now = start + ms(500 * counts.len() as u64);
        let (a, b) = (u64::from(a) * last / 65_535, u64::from(b) * last / 65_535);
        let lag = |has: u64| lags.of(&first(has), now).unwrap();
        prop_assert!(lag(a.max(b)) <= lag(a.min(b)));
    }
}

#[test]
fn a_replica_leaves_after_two_polls_above_and_returns_after_four_below_half() {
    let mut fitness = Fitness::default();
    let mut judge = |lag: u64| fitness.judge(Some(ms(lag)), Some(ms(1000)));
    let seen: Vec<bool> =
        [900, 1001, 1000, 1001, 1002, 600, 499, 499, 500, 499, 499, 499, 499, 1001, 0].map(&mut judge).into();
    let expected =
        [true, true, true, true, false, false, false, false, false, false, false, false, true, true, true];
    assert_eq!(seen, expected);
}

#[test]
fn an_unknown_lag_changes_nothing_and_no_limit_forgives_all() {
    let (max, mut fitness) = (Some(ms(1000)), Fitness::default());
    assert!(fitness.judge(None, max), "before the first measure it is as good as it was");
    assert!(fitness.judge(Some(ms(2000)), max));
    assert!(fitness.judge(None, max));
    assert!(!fitness.judge(Some(ms(2000)), max));
    assert!(!fitness.judge(None, max));
    assert!(fitness.judge(Some(ms(2000)), None));
}
