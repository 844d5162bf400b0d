//! A fixed rate: statements are due at equal distances, one client after the other, whether or not answers come in time.

use std::time::{Duration, Instant};

use anyhow::Result;
use mio::{Interest, Registry, Token, unix::SourceFd};
use rustix::{
    fd::{AsRawFd, OwnedFd},
    time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
        timerfd_settime,
    },
};

/// The timer's events come under this one.
pub const TOKEN: Token = Token(usize::MAX - 1);

/// When each client's next statement is due. (A timer descriptor, as epoll's own timeout counts milliseconds.)
#[derive(Debug)]
pub struct Pace {
    timer: OwnedFd,
    schedule: Schedule,
}

#[derive(Debug)]
struct Schedule {
    start: Instant,
    interval: Duration,
    clients: u64,
    /// Statements that the clock has called so far.
    called: u64,
    /// Statements that each client has begun.
    begun: Vec<u64>,
}

impl Pace {
    /// Starts the clock: `rate` statements a second among so many clients.
    pub fn start(rate: f64, clients: usize, now: Instant, registry: &Registry) -> Result<Self> {
        let timer =
            timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
        registry.register(&mut SourceFd(&timer.as_raw_fd()), TOKEN, Interest::READABLE)?;
        let interval = Duration::from_secs_f64(1.0 / rate);
        let schedule =
            Schedule { start: now, interval, clients: clients as u64, called: 0, begun: vec![0; clients] };
        let pace = Self { timer, schedule };
        pace.wake_up(now)?;
        Ok(pace)
    }

    /// The next client in turn, if its statement is due by now.
    pub fn next_before(&mut self, now: Instant) -> Option<usize> {
        self.schedule.next_before(now)
    }

    /// When this client's next statement was due, if that is past: it counts as begun.
    pub fn overdue(&mut self, client: usize, now: Instant) -> Option<Instant> {
        self.schedule.overdue(client, now)
    }

    /// Sets the timer for the next statement.
    pub fn wake_up(&self, now: Instant) -> Result<()> {
        let wait = self
            .schedule
            .due(self.schedule.called)
            .saturating_duration_since(now)
            .max(Duration::from_nanos(1));
        let value = Timespec::try_from(wait)?;
        let once = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value: value };
        timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &once)?;
        Ok(())
    }
}

impl Schedule {
    fn due(&self, statement: u64) -> Instant {
        self.start + Duration::from_nanos(self.interval.as_nanos() as u64 * statement)
    }

    fn next_before(&mut self, now: Instant) -> Option<usize> {
        (self.due(self.called) <= now).then(|| {
            let client = self.called % self.clients;
            self.called += 1;
            client as usize
        })
    }

    fn overdue(&mut self, client: usize, now: Instant) -> Option<Instant> {
        let due = self.due(self.begun[client] * self.clients + client as u64);
        (due <= now).then(|| {
            self.begun[client] += 1;
            due
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_take_turns_and_a_late_one_keeps_its_due_times() {
        let start = Instant::now();
        let ms = |n| start + Duration::from_millis(n);
        let interval = Duration::from_millis(10);
        let mut schedule = Schedule { start, interval, clients: 2, called: 0, begun: vec![0; 2] };
        assert_eq!(schedule.next_before(ms(0)), Some(0));
        assert_eq!(schedule.next_before(ms(9)), None);
        assert_eq!(schedule.next_before(ms(10)), Some(1));
        assert_eq!(schedule.overdue(1, ms(60)), Some(ms(10)));
        assert_eq!(schedule.overdue(1, ms(60)), Some(ms(30)));
        assert_eq!(schedule.overdue(1, ms(49)), None);
    }
}
