//! Round-robin by weight: the order in which replicas take reads.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use super::table::Published;
use crate::backend::{Server, ServerId};

/// The replicas, and an order in which each comes as often as its weight says, evenly spread.
#[derive(Debug, Default)]
pub struct Rotation {
    servers: Vec<Arc<Server>>,
    order: Box<[u16]>,
}

/// The longest order, whatever the weights.
const MOST_TURNS: u64 = 1_000;

impl Rotation {
    /// A rotation of these servers; those of weight 0 take no turns.
    pub fn new(servers: Vec<Arc<Server>>) -> Self {
        let weights: Vec<u64> = servers.iter().map(|server| u64::from(server.weight)).collect();
        Self { order: order(&weights), servers }
    }

    /// All of them, also those of weight 0.
    pub fn servers(&self) -> &[Arc<Server>] {
        &self.servers
    }

    /// The server whose turn it is among those that are `fit`, one that is `better` before others; `None` if none is fit.
    pub fn next(
        &self,
        published: &Published,
        fit: impl Fn(&Server) -> bool,
        better: impl Fn(&Server) -> bool,
    ) -> Option<&Arc<Server>> {
        if self.order.is_empty() {
            return None;
        }
        let turn = published.turn.fetch_add(1, Ordering::Relaxed);
        // One whole round sees every server.
        let next = (0..self.order.len())
            .map(|ahead| &self.servers[usize::from(self.order[turn.wrapping_add(ahead) % self.order.len()])])
            .find(|server| fit(server))?;
        if better(next) {
            return Some(next);
        }
        let (later, first) = self.servers.split_at(turn % self.servers.len());
        let others = first.iter().chain(later).filter(|server| server.weight > 0 && server.id != next.id);
        Some(others.into_iter().find(|server| fit(server) && better(server)).unwrap_or(next))
    }

    /// Of those that are `fit` the one that is least behind.
    pub fn nearest(&self, fit: impl Fn(&Server) -> bool) -> Option<&Arc<Server>> {
        let fit = self.servers.iter().filter(|server| server.weight > 0 && fit(server));
        fit.min_by_key(|server| server.lag().unwrap_or(Duration::MAX))
    }

    /// The server of this id, if it takes reads.
    pub fn find(&self, id: ServerId) -> Option<&Arc<Server>> {
        self.servers.iter().find(|server| server.id == id)
    }
}

/// Smooth weighted round-robin: each turn goes to whoever is furthest behind its share.
fn order(weights: &[u64]) -> Box<[u16]> {
    let divisor = weights.iter().copied().fold(0, gcd).max(1);
    let mut shares: Vec<i64> = weights.iter().map(|weight| (weight / divisor) as i64).collect();
    let mut total: i64 = shares.iter().sum();
    if total as u64 > MOST_TURNS {
        shares = shares
            .iter()
            .map(|share| (share * MOST_TURNS as i64 / total).max(i64::from(*share > 0)))
            .collect();
        total = shares.iter().sum();
    }
    let mut credit = vec![0; shares.len()];
    let turns = (0..total).map(|_| {
        credit.iter_mut().zip(&shares).for_each(|(credit, share)| *credit += share);
        let (first, _) =
            credit.iter().enumerate().rev().max_by_key(|(_, credit)| **credit).expect("a turn has a server");
        credit[first] -= total;
        first as u16
    });
    turns.collect()
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_follow_the_weights_and_are_spread_evenly() {
        assert_eq!(*order(&[100, 100]), [0, 1]);
        assert_eq!(*order(&[200, 100]), [0, 1, 0]);
        assert_eq!(*order(&[5, 1, 1]), [0, 0, 1, 0, 2, 0, 0]);
        assert_eq!(*order(&[0, 7]), [1]);
        assert!(order(&[0]).is_empty());
        assert!(order(&[999, 1000, 1]).contains(&2));
    }
}
