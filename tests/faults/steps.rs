//! dauphin dies at every step of a failover and of a switchover, one after the other on the same servers.
//!
//! New servers take most of a round's time; here they are had only where one has been left out.

use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use libtest_mimic::Failed;

use crate::{
    block_on,
    cluster::Flavour,
    dauphin::Dauphin,
    fault::Fault,
    last_lines,
    round::{Manner, Round, fresh},
    servers::Servers,
};

/// As in a round of its own, with less load before and after.
const MANNER: Manner = Manner { around: Duration::from_secs(1), ..Manner::SHORT };

/// Whether it is one of the steps at which dauphin dies.
pub const fn is_one(fault: Fault) -> bool {
    matches!(fault, Fault::CrashAt(_) | Fault::SwitchoverCrashAt(_))
}

/// All of them, on MySQL and on MariaDB at once.
pub fn test() -> Result<(), Failed> {
    let wrong = std::thread::scope(|scope| {
        [Flavour::MySql, Flavour::MariaDb]
            .map(|flavour| scope.spawn(move || block_on(play_all(flavour))))
            .map(|played| match played.join() {
                Ok(Ok(wrong)) => wrong,
                Ok(Err(error)) => vec![format!("{error:#}")],
                Err(_) => vec!["it panicked: see above".to_owned()],
            })
    })
    .concat();
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n").into()) }
}

/// What was wrong.
async fn play_all(flavour: Flavour) -> Vec<String> {
    let (mut kept, mut wrong) = (None, Vec::new());
    for fault in Fault::all().filter(|fault| is_one(*fault)) {
        let (name, began) = (format!("{} {}", flavour.name(), fault.name()), Instant::now());
        match play(flavour, fault, &mut kept).await {
            Ok(round) => {
                print!("==> {name}, {:.1} s\n{}", began.elapsed().as_secs_f64(), round.report());
                if !round.wrong.is_empty() {
                    let (log, found) = (last_lines(&round.log), round.wrong.join("\n"));
                    wrong.push(format!("{name}: {found}\ndauphin's log:\n{log}"));
                }
            }
            Err(error) => wrong.push(format!("{name}: {error:#}")),
        }
    }
    wrong
}

/// One step, on the servers that were kept, which are kept again if all is well and all of them take part.
async fn play(flavour: Flavour, fault: Fault, kept: &mut Option<(Servers, Dauphin)>) -> Result<Round> {
    let (mut servers, mut dauphin) = match kept.take() {
        Some(kept) => kept,
        None => fresh(flavour).await?,
    };
    let round = Round::play(&servers, &mut dauphin, fault, MANNER).await;
    let round =
        round.map_err(|error| anyhow!("{error:#}\ndauphin's log:\n{}", last_lines(&dauphin.log())))?;
    if let (Some(primary), [], []) = (round.primary_at, &round.left_out[..], &round.wrong[..]) {
        servers.led_by(primary).await?;
        *kept = Some((servers, dauphin));
    }
    Ok(round)
}
