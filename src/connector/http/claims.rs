//! What a process has claimed of limits that it shares with others, what became of it, and what it tells the ledger.
//!
//! Claims are taken in blocks, so that not every request needs a look into the ledger: as many as even use takes in a
//! hundredth of the shortest span, more where the last block was used up in its time and much is left. What is not used in its
//! time is given back. The process's clock only measures how long things take.
//!
//! What does not live here: what counts (`ledger`), and the way to it (`tally`).

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::budget::{Refusal, Urgency};
use super::ledger::{Clock, Holder, Ledger, Terms, millis};

/// The part of what is left that a block may have beyond its even share.
const PART_OF_LEFT: u32 = 50;

/// The claims of a process.
#[derive(Debug)]
pub struct Claims {
    /// Who this is in the ledger.
    id: String,
    terms: Terms,
    /// Claims that are not used yet.
    free: u32,
    /// Claims of the share that is left to actions, not used yet.
    for_actions: u32,
    /// Until when they may be used.
    until: Option<Instant>,
    /// How many a block had that was used up.
    block: u32,
    under_way: u32,
    /// What was answered since the ledger was told.
    answered: VecDeque<Instant>,
    /// How many were before that.
    told: u64,
    /// Whether the ledger was told anything.
    known: bool,
    /// Whether the ledger may be kept as a visit left it whose end nobody saw.
    doubtful: bool,
    /// When it was visited, and until when it had nothing, for reads and for actions.
    refused: [Option<(Instant, Instant)>; 2],
    /// What the system said that the ledger was not told.
    pause: Option<Instant>,
    /// How much was left when the ledger was visited.
    left: Vec<u32>,
}

/// What a visit to the ledger came to, once it is kept.
#[derive(Debug, Clone)]
pub struct Visit {
    clock: Clock,
    wanted: Option<Urgency>,
    granted: u32,
    block: u32,
    /// How many of those answered the ledger knows now.
    answered: usize,
    told: u64,
    refused: Option<Instant>,
    left: Vec<u32>,
    paused: Option<Instant>,
    /// Whether the ledger is to be kept.
    pub changes: bool,
    /// Before when nothing is sent, as some process was told.
    pub pause: Option<Instant>,
}

impl Claims {
    /// The claims of a process by this name, on terms that all share.
    pub fn new(id: String, terms: Terms) -> Self {
        let left = terms.rates.iter().map(|rate| rate.requests).collect();
        Self {
            id,
            terms,
            free: 0,
            for_actions: 0,
            until: None,
            block: 1,
            under_way: 0,
            answered: VecDeque::new(),
            told: 0,
            known: false,
            doubtful: false,
            refused: [None; 2],
            pause: None,
            left,
        }
    }

    /// Uses a claim for a request that is sent now.
    ///
    /// # Errors
    /// Where there is none; [`Refusal::Unclaimed`] where the ledger is to be visited.
    pub fn take(&mut self, now: Instant, urgency: Urgency) -> Result<(), Refusal> {
        self.look(now, urgency)?;
        if urgency == Urgency::Action && self.for_actions > 0 {
            self.for_actions -= 1;
        } else {
            self.free -= 1;
        }
        self.under_way += 1;
        Ok(())
    }

    /// Whether there is a claim for a request that is sent now; uses none.
    ///
    /// # Errors
    /// As [`Self::take`].
    pub fn look(&self, now: Instant, urgency: Urgency) -> Result<(), Refusal> {
        let free = self.free + if urgency == Urgency::Action { self.for_actions } else { 0 };
        if free > 0 && self.until.is_some_and(|until| now < until) {
            return Ok(());
        }
        match self.refused[slot(urgency)] {
            Some((visited, until)) if now < until && now < visited + self.terms.settle() => Err(Refusal::Until(until)),
            _ => Err(Refusal::Unclaimed),
        }
    }

    /// A request has its answer, or is given up.
    pub fn answered(&mut self, now: Instant) {
        self.under_way = self.under_way.saturating_sub(1);
        self.answered.push_back(now);
    }

    /// The system wants no request before this instant.
    pub fn pause(&mut self, until: Instant) {
        self.pause = self.pause.max(Some(until));
    }

    /// Whether the ledger does not know yet what became of claims, or what the system said.
    pub fn owes(&self) -> bool {
        self.free + self.for_actions > 0 || !self.answered.is_empty() || self.pause.is_some() || self.doubtful
    }

    /// Nothing is sent any more.
    pub fn end(&mut self) {
        self.until = None;
    }

    /// How much was left of each rate, of all processes together, when the ledger was visited last.
    pub fn left(&self) -> &[u32] {
        &self.left
    }

    /// How soon the ledger is told what became of claims.
    pub fn settle(&self) -> Duration {
        self.terms.settle()
    }

    /// Tells the ledger what became of claims, and claims anew where something is wanted. It counts once the ledger is kept.
    pub fn visit(&mut self, ledger: &mut Ledger, clock: Clock, wanted: Option<Urgency>) -> Visit {
        ledger.forget(clock.now, &self.terms);
        let in_time = self.until.is_some_and(|until| clock.after < until);
        if !in_time {
            (self.free, self.for_actions) = (0, 0);
        }
        let block = if in_time && self.free == 0 { self.block.saturating_mul(2) } else { 1 };
        let before = ledger.holder(&self.id);
        let counted = match before {
            // It was kept, and nobody heard of it.
            Some(holder) => usize::try_from(holder.told.saturating_sub(self.told)).unwrap_or(usize::MAX),
            // All was counted when this process had told nothing for too long.
            None if self.known => usize::MAX,
            None => 0,
        };
        for at in self.answered.iter().skip(counted) {
            ledger.answered(clock.moment(*at), 1);
        }
        let answered = self.answered.len();
        let told = self.told.saturating_add(u64::try_from(answered).unwrap_or(u64::MAX));
        let held = self.under_way + self.free + self.for_actions;
        let mut holder = Holder { held, told, until: clock.now + millis(self.terms.settle() + self.terms.longest) };
        ledger.hold(&self.id, holder);
        let (mut granted, mut refused) = (0, None);
        if let Some(urgency) = wanted {
            let left = ledger.left(&self.terms, urgency);
            let size = match urgency {
                Urgency::Action => 1,
                Urgency::Read => self.terms.share().max(block.min(left / PART_OF_LEFT)),
            };
            granted = size.min(left);
            if granted == 0 {
                refused = Some(self.later(ledger, clock, urgency, size));
            }
            holder.held += granted;
            ledger.hold(&self.id, holder);
        }
        let pause = ledger.pause(self.pause.map(|until| clock.moment(until))).filter(|until| *until > clock.now);
        let changes = self.pause.is_some()
            || self.doubtful
            || before.map_or((0, 0), |holder| (holder.held, holder.told)) != (holder.held, holder.told);
        self.doubtful |= changes;
        Visit {
            clock,
            wanted,
            granted,
            block,
            answered,
            told,
            refused,
            left: ledger.headroom(&self.terms),
            paused: self.pause,
            changes,
            pause: pause.map(|until| clock.instant(until)),
        }
    }

    /// When it is worth visiting again where nothing is left: reads wait for a block, but not for long.
    fn later(&self, ledger: &Ledger, clock: Clock, urgency: Urgency, size: u32) -> Instant {
        let Some(first) = ledger.freed(&self.terms, urgency, 1) else { return clock.after + self.terms.settle() };
        let patient = clock.instant(first) + self.terms.block();
        match ledger.freed(&self.terms, urgency, size) {
            Some(whole) => clock.instant(whole).min(patient),
            None => patient,
        }
    }

    /// The ledger is kept as a visit left it, or the visit changes nothing.
    pub fn settled(&mut self, visit: &Visit) {
        if visit.changes {
            self.answered.drain(..visit.answered.min(self.answered.len()));
            (self.told, self.known, self.doubtful) = (visit.told, true, false);
            if self.pause == visit.paused {
                self.pause = None;
            }
        }
        self.left.clone_from(&visit.left);
        if let Some(urgency) = visit.wanted {
            let free = if urgency == Urgency::Read { &mut self.free } else { &mut self.for_actions };
            *free += visit.granted;
            if visit.granted > 0 {
                self.until = Some(visit.clock.before + self.terms.settle());
            }
            self.refused[slot(urgency)] = visit.refused.map(|until| (visit.clock.after, until));
            if urgency == Urgency::Read {
                self.block = visit.block;
            }
        }
    }
}

fn slot(urgency: Urgency) -> usize {
    match urgency {
        Urgency::Read => 0,
        Urgency::Action => 1,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::ledger::Moment;
    use super::*;
    use crate::connector::http::budget::Rate;
    use crate::connector::http::scatter::{Scatter, most_within};

    const SPAN: Duration = Duration::from_secs(10);
    const TRAVEL: Duration = Duration::from_millis(40);

    /// A process whose clock began at an instant of its own.
    struct Process {
        claims: Claims,
        zero: Instant,
        /// When answers arrive.
        answers: BTreeSet<Duration>,
        /// When it looks again.
        wakes: Duration,
        /// When it tells what became of claims.
        tells: Duration,
    }

    /// Processes that send as much as they may, by true time since the beginning.
    struct World {
        terms: Terms,
        ledger: Ledger,
        processes: Vec<Process>,
        scatter: Scatter,
        names: u32,
        /// When the system counted each request.
        counted: Vec<Duration>,
        /// How often the ledger was kept.
        kept: usize,
    }

    impl World {
        fn new(rates: &[Rate], processes: u32) -> Self {
            let terms = Terms { rates: rates.to_vec(), reserved: 0, longest: TRAVEL * 2 };
            let (ledger, scatter) = (Ledger::default(), Scatter(7));
            let mut world =
                Self { terms, ledger, processes: Vec::new(), scatter, names: 0, counted: Vec::new(), kept: 0 };
            world.processes = (0..processes).map(|_| world.process(Duration::ZERO)).collect();
            world
        }

        fn process(&mut self, now: Duration) -> Process {
            self.names += 1;
            let claims = Claims::new(self.names.to_string(), self.terms.clone());
            // Each clock is off by hours.
            let zero = Instant::now() + Duration::from_hours(1) * self.names;
            Process { claims, zero, answers: BTreeSet::new(), wakes: now, tells: now + self.terms.settle() }
        }

        fn visit(&mut self, at: usize, now: Duration, wanted: Option<Urgency>) {
            let took = self.scatter.below(Duration::from_millis(6));
            let Process { claims, zero, .. } = &mut self.processes[at];
            let keeper = 1_900_000_000_000 + i64::try_from((now + took / 2).as_millis()).unwrap();
            let clock = Clock { before: *zero + now, after: *zero + now + took, now: keeper };
            let mut ledger = self.ledger.clone();
            let visit = claims.visit(&mut ledger, clock, wanted);
            if visit.changes {
                self.kept += 1;
                // As it is read again.
                self.ledger = Ledger::of_bytes(&ledger.to_bytes().unwrap()).unwrap();
            }
            claims.settled(&visit);
        }

        /// A process sends what it may now, at most so many at once.
        fn send(&mut self, at: usize, now: Duration, at_once: usize) {
            while self.processes[at].answers.len() < at_once {
                let process = &mut self.processes[at];
                match process.claims.take(process.zero + now, Urgency::Read) {
                    Ok(()) => {
                        let arrives = now + self.scatter.below(TRAVEL);
                        self.counted.push(arrives);
                        let answered = arrives + self.scatter.below(TRAVEL);
                        self.processes[at].answers.insert(answered);
                    }
                    Err(Refusal::Unclaimed) => self.visit(at, now, Some(Urgency::Read)),
                    Err(Refusal::Until(until)) => {
                        process.wakes = until - process.zero;
                        return;
                    }
                    Err(Refusal::UntilAnswered) => unreachable!("claims know nothing of answers"),
                }
            }
        }

        /// Goes on until an instant; `dies` says which process dies then, to begin anew.
        fn run(&mut self, until: Duration, at_once: usize, mut dies: impl FnMut(Duration) -> Option<usize>) {
            let mut now = Duration::ZERO;
            while now < until {
                if let Some(at) = dies(now) {
                    self.processes[at] = self.process(now);
                }
                for at in 0..self.processes.len() {
                    let process = &mut self.processes[at];
                    while let Some(answer) = process.answers.first().copied().filter(|answer| *answer <= now) {
                        process.answers.pop_first();
                        process.claims.answered(process.zero + answer);
                    }
                    if process.wakes <= now {
                        self.send(at, now, at_once);
                    }
                    if self.processes[at].tells <= now {
                        self.processes[at].tells = now + self.terms.settle();
                        if self.processes[at].claims.owes() {
                            self.visit(at, now, None);
                        }
                    }
                }
                let next = self.processes.iter().flat_map(|process| {
                    [Some(process.tells), Some(process.wakes), process.answers.first().copied()].into_iter().flatten()
                });
                now = next.filter(|next| *next > now).min().unwrap();
            }
            self.counted.sort();
        }

        fn most_within(&self, span: Duration) -> usize {
            most_within(span, &self.counted)
        }
    }

    #[test]
    fn processes_together_never_exceed_a_limit_and_use_it_well() {
        for requests in [1, 2, 10, 60, 3000] {
            for processes in [1, 2, 5] {
                let rate = Rate { requests, per: SPAN };
                let mut world = World::new(&[rate], processes);
                let spans = 20;
                world.run(SPAN * spans, 64, |_| None);
                let most = world.most_within(SPAN);
                assert!(most <= requests as usize, "{requests} by {processes}: {most}");
                let share = world.counted.len() as f64 / f64::from(requests * spans);
                assert!(share >= 0.95, "{requests} by {processes}: {share}");
            }
        }
    }

    #[test]
    fn not_every_request_needs_a_look() {
        let mut world = World::new(&[Rate { requests: 10_000, per: SPAN }], 2);
        world.run(SPAN * 10, 64, |_| None);
        assert!(world.counted.len() >= 95_000, "{}", world.counted.len());
        assert!(world.kept * 20 < world.counted.len(), "{} for {}", world.kept, world.counted.len());
    }

    #[test]
    fn the_narrowest_of_several_limits_counts() {
        let (minute, day) = (Duration::from_mins(1), Duration::from_hours(24));
        let mut world = World::new(&[Rate { requests: 60, per: minute }, Rate { requests: 5000, per: day }], 2);
        world.run(day * 2, 4, |_| None);
        assert!(world.most_within(minute) <= 60 && world.most_within(day) <= 5000);
        assert!(world.counted.len() > 9500, "{}", world.counted.len());
    }

    #[test]
    fn processes_that_die_and_begin_anew_forget_nothing() {
        for requests in [10, 600] {
            let mut world = World::new(&[Rate { requests, per: SPAN }], 3);
            let (mut next, spans) = (Duration::ZERO, 30);
            world.run(SPAN * spans, 64, |now| {
                let dies = (now >= next).then_some(usize::try_from(now.as_secs() % 3).unwrap());
                next += if dies.is_some() { SPAN / 3 } else { Duration::ZERO };
                dies
            });
            assert!(world.most_within(SPAN) <= requests as usize);
            // What was under way is counted a little longer.
            let share = world.counted.len() as f64 / f64::from(requests * spans);
            assert!(share >= 0.9, "{requests}: {share}");
        }
    }

    /// A process's look into a ledger, which is not kept yet.
    fn look(
        claims: &mut Claims,
        ledger: &Ledger,
        at: Instant,
        now: Moment,
        wanted: Option<Urgency>,
    ) -> (Ledger, Visit) {
        let mut ledger = ledger.clone();
        let visit = claims.visit(&mut ledger, Clock { before: at, after: at, now }, wanted);
        (ledger, visit)
    }

    fn terms(requests: u32) -> Terms {
        Terms { rates: vec![Rate { requests, per: SPAN }], reserved: 0, longest: Duration::from_secs(1) }
    }

    #[test]
    fn claims_that_are_not_used_in_their_time_are_given_back() {
        let mut claims = Claims::new("one".to_owned(), terms(1000));
        let begun = Instant::now();
        let (ledger, visit) = look(&mut claims, &Ledger::default(), begun, 0, Some(Urgency::Read));
        claims.settled(&visit);
        assert_eq!(ledger.left(&claims.terms, Urgency::Read), 990);
        claims.take(begun, Urgency::Read).unwrap();
        assert_eq!(claims.take(begun + claims.settle(), Urgency::Read), Err(Refusal::Unclaimed));
        let settle = claims.settle();
        let (ledger, _) = look(&mut claims, &ledger, begun + settle, millis(settle), None);
        assert_eq!(ledger.left(&claims.terms, Urgency::Read), 999, "one is under way");
    }

    #[test]
    fn an_answer_that_was_told_where_nobody_heard_that_it_was_kept_counts_once() {
        let mut claims = Claims::new("one".to_owned(), terms(10));
        let begun = Instant::now();
        let (mut ledger, visit) = look(&mut claims, &Ledger::default(), begun, 0, Some(Urgency::Read));
        claims.settled(&visit);
        claims.take(begun, Urgency::Read).unwrap();
        claims.answered(begun);
        for _ in 0..3 {
            ledger = look(&mut claims, &ledger, begun, 0, None).0;
            assert!(claims.owes());
        }
        assert_eq!(ledger.left(&claims.terms, Urgency::Read), 9);
    }

    #[test]
    fn what_a_process_claims_that_tells_nothing_any_more_counts_as_sent() {
        let mut claims = Claims::new("one".to_owned(), terms(10));
        let begun = Instant::now();
        let (mut ledger, visit) = look(&mut claims, &Ledger::default(), begun, 0, Some(Urgency::Read));
        claims.settled(&visit);
        claims.take(begun, Urgency::Read).unwrap();
        // Until it is given up, and then a span long.
        let given_up = millis(claims.settle() + Duration::from_secs(1));
        for (now, left) in [(given_up, 9), (given_up + millis(SPAN), 9), (given_up + millis(SPAN) + 80, 10)] {
            ledger.forget(now, &claims.terms);
            assert_eq!(ledger.left(&claims.terms, Urgency::Read), left, "{now}");
        }
        // It was only away, and its request is counted already.
        claims.answered(begun);
        let (ledger, _) = look(&mut claims, &ledger, begun + SPAN * 2, given_up + millis(SPAN) + 80, None);
        assert_eq!(ledger.left(&claims.terms, Urgency::Read), 10);
    }
}
