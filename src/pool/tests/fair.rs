//! The fair queue: at random against what it promises, and in simulated time.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap, VecDeque};
use std::time::Duration;

use proptest::prelude::*;

use super::super::queue::{ACTIVE, Queue, Ticket};
use super::super::{Places, Share};

fn share(tenant: u64, weight: u32, max_connections: usize) -> Share {
    Share { tenant, weight, max_connections }
}

const NO_LIMIT: usize = usize::MAX;

#[test]
fn the_headroom_is_a_tenth() {
    let kept: Vec<_> = [0, 1, 3, 4, 10, 19, 20, 105].map(|size| Places::new(size).headroom).into();
    assert_eq!(kept, [0, 0, 0, 1, 1, 1, 2, 10]);
    let places = Places::new(20);
    assert_eq!([places.fair(1, 1), places.fair(1, 2), places.fair(1, 3), places.fair(4, 5)], [20, 10, 7, 16]);
    assert_eq!([places.fair(1, 1_000_000), places.fair(0, 0)], [1, 20]);
}

// --- at random ------------------------------------------------------------------------------------------

/// What happens to a pool.
#[derive(Clone, Debug)]
enum Op {
    Arrive(usize),
    Leave(usize),
    GiveBack(usize),
    Pass(u64),
}

fn op(tenants: usize) -> impl Strategy<Value = Op> {
    prop_oneof![
        5 => (0..tenants).prop_map(Op::Arrive),
        1 => any::<usize>().prop_map(Op::Leave),
        4 => any::<usize>().prop_map(Op::GiveBack),
        1 => (1..700_u64).prop_map(Op::Pass),
    ]
}

/// A pool whose connections all exist, with a plain account of what the queue must know.
struct Model {
    places: Places,
    shares: Vec<Share>,
    queue: Queue<u64>,
    now: Duration,
    next: u64,
    resting: usize,
    leases: Vec<usize>,
    tickets: Vec<(Ticket, usize, u64)>,
    waiting: Vec<VecDeque<u64>>,
    in_use: Vec<usize>,
    last: Vec<Option<Duration>>,
    /// Connections that others got since this one could have had one, by the other.
    passed: Vec<Vec<u32>>,
}

impl Model {
    fn new(places: Places, tenants: &[(u32, usize)]) -> Self {
        let shares: Vec<_> = (0..).zip(tenants).map(|(id, (weight, max))| share(id, *weight, *max)).collect();
        let n = shares.len();
        Self {
            places,
            shares,
            queue: Queue::default(),
            now: Duration::ZERO,
            next: 0,
            resting: places.size,
            leases: Vec::new(),
            tickets: Vec::new(),
            waiting: vec![VecDeque::new(); n],
            in_use: vec![0; n],
            last: vec![None; n],
            passed: vec![vec![0; n]; n],
        }
    }

    fn is_active(&self, t: usize) -> bool {
        self.in_use[t] > 0
            || !self.waiting[t].is_empty()
            || self.last[t].is_some_and(|last| last + ACTIVE > self.now)
    }

    /// Whether this tenant may have one more connection, said as the documentation says it.
    fn may_have(&self, t: usize) -> bool {
        let active: Vec<_> =
            (0..self.shares.len()).filter(|other| *other == t || self.is_active(*other)).collect();
        let weights: u32 = active.iter().map(|t| self.shares[*t].weight).sum();
        let fair = (self.places.size as f64 * f64::from(self.shares[t].weight) / f64::from(weights)).ceil();
        self.in_use[t] < self.shares[t].max_connections
            && (active.len() < 2
                || self.places.headroom == 0
                || self.resting > self.places.headroom
                || (self.in_use[t] as f64) < fair)
    }

    fn eligible(&self) -> Vec<usize> {
        (0..self.shares.len()).filter(|t| !self.waiting[*t].is_empty() && self.may_have(*t)).collect()
    }

    fn touch(&mut self, t: usize) {
        self.last[t] = Some(self.now);
    }

    /// Somebody has got a connection.
    fn granted(&mut self, t: usize, eligible: &[usize]) -> Result<(), TestCaseError> {
        prop_assert!(self.may_have(t), "{t} has {} of {:?}", self.in_use[t], self.places);
        for other in 0..self.shares.len() {
            if other == t || !eligible.contains(&other) {
                self.passed[other].fill(0);
            } else {
                self.passed[other][t] += 1;
                prop_assert!(self.passed[other][t] <= self.shares[t].weight, "{other} starves for {t}");
            }
        }
        self.in_use[t] += 1;
        self.resting -= 1;
        self.leases.push(t);
        prop_assert!(self.in_use[t] <= self.shares[t].max_connections);
        Ok(())
    }

    fn run(&mut self, op: &Op) -> Result<(), TestCaseError> {
        match *op {
            Op::Arrive(t) => {
                self.queue.expire(self.now);
                let may = self.waiting[t].is_empty() && self.may_have(t) && self.eligible().is_empty();
                // A connection that rests while it may not be had is what the queue must not hand out.
                prop_assert_eq!(self.queue.may_take(self.shares[t], self.places), may);
                if may && self.resting > 0 {
                    self.queue.take(self.shares[t]);
                    self.granted(t, &[])?;
                } else {
                    let ticket = self.queue.push(self.shares[t], self.next);
                    self.tickets.push((ticket, t, self.next));
                    self.waiting[t].push_back(self.next);
                    self.next += 1;
                }
            }
            Op::Leave(n) if !self.tickets.is_empty() => {
                let (ticket, t, who) = self.tickets.swap_remove(n % self.tickets.len());
                let at = self.waiting[t].iter().position(|waiting| *waiting == who);
                let expected = at.and_then(|at| self.waiting[t].remove(at));
                prop_assert_eq!(self.queue.remove(ticket, self.now), expected);
                if expected.is_some() {
                    self.touch(t);
                }
                if self.waiting[t].is_empty() {
                    self.passed[t].fill(0); // who comes next begins anew
                }
            }
            Op::GiveBack(n) if !self.leases.is_empty() => {
                let t = self.leases.swap_remove(n % self.leases.len());
                self.queue.give(t as u64, self.now);
                self.in_use[t] -= 1;
                self.resting += 1;
                self.touch(t);
            }
            Op::Pass(millis) => {
                self.now += Duration::from_millis(millis);
                self.queue.expire(self.now);
            }
            Op::Leave(_) | Op::GiveBack(_) => {}
        }
        self.serve()
    }

    /// What the pool does when something has changed.
    fn serve(&mut self) -> Result<(), TestCaseError> {
        self.queue.expire(self.now);
        while self.resting > 0 {
            let eligible = self.eligible();
            let peeked = self.queue.peek(self.places).copied();
            let servable = self.queue.servable(8, self.places);
            let Some(who) = self.queue.pop(self.places) else {
                prop_assert!(eligible.is_empty(), "{eligible:?} could be served");
                prop_assert_eq!((servable, peeked), (0, None));
                break;
            };
            prop_assert_eq!(peeked, Some(who));
            prop_assert!(servable > 0);
            let t = (0..self.shares.len()).find(|t| self.waiting[*t].front() == Some(&who));
            let Some(t) = t else { return Err(TestCaseError::fail("not the first of its tenant")) };
            self.waiting[t].pop_front();
            self.granted(t, &eligible)?;
        }
        self.check()
    }

    fn check(&self) -> Result<(), TestCaseError> {
        for t in 0..self.shares.len() {
            prop_assert_eq!(self.queue.in_use(t as u64), self.in_use[t]);
        }
        let waiting: usize = self.waiting.iter().map(VecDeque::len).sum();
        prop_assert_eq!(self.queue.len(), waiting);
        let active = (0..self.shares.len()).filter(|t| self.is_active(*t)).count();
        prop_assert_eq!(self.queue.tenants(), active);
        // The longest waiting of those that are not at their limits.
        let below = (0..self.shares.len()).filter(|t| self.in_use[*t] < self.shares[*t].max_connections);
        let oldest = below.filter_map(|t| self.waiting[t].front()).min();
        prop_assert_eq!(self.queue.oldest(), oldest);
        Ok(())
    }

    /// Whoever has one gives it back, until nobody waits who may have one at all.
    fn drain(&mut self) -> Result<(), TestCaseError> {
        while !self.leases.is_empty() {
            self.run(&Op::GiveBack(0))?;
        }
        for t in 0..self.shares.len() {
            prop_assert!(
                self.waiting[t].is_empty() || self.shares[t].max_connections == 0,
                "{t} waits for good"
            );
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]
    #[test]
    fn every_promise_is_kept_whatever_happens(
        size in 1..25_usize,
        keep in any::<bool>(),
        tenants in prop::collection::vec((1..5_u32, prop_oneof![0..6_usize, Just(NO_LIMIT)]), 1..6),
        ops in prop::collection::vec(op(5), 0..400),
    ) {
        let places = if keep { Places::new(size) } else { Places { size, headroom: 0 } };
        let mut model = Model::new(places, &tenants);
        for op in &ops {
            let op = match op {
                Op::Arrive(t) => Op::Arrive(t % tenants.len()),
                other => other.clone(),
            };
            model.run(&op)?;
        }
        model.drain()?;
        model.run(&Op::Pass(2 * ACTIVE.as_millis() as u64))?;
        let forever = (0..tenants.len()).filter(|t| !model.waiting[*t].is_empty()).count();
        prop_assert_eq!(model.queue.tenants(), forever, "only who waits for what it may not have");
    }

    #[test]
    fn who_waits_all_the_time_is_served_by_weight(
        weights in prop::collection::vec(1..9_u32, 2..8),
        size in 1..30_usize,
        turns in 1..500_usize,
    ) {
        let places = Places { size, headroom: 0 };
        let mut queue = Queue::default();
        let shares: Vec<_> = (0..).zip(&weights).map(|(id, weight)| share(id, *weight, NO_LIMIT)).collect();
        for share in &shares {
            for _ in 0..2 {
                queue.push(*share, share.tenant);
            }
        }
        let mut served = vec![0_u64; weights.len()];
        for _ in 0..turns {
            let tenant = queue.pop(places).unwrap();
            served[tenant as usize] += 1;
            queue.push(shares[tenant as usize], tenant);
            queue.give(tenant, Duration::ZERO);
            // Between any two, never more than one turn of either: |a / w(a) - b / w(b)| <= 1.
            for (a, wa) in served.iter().zip(&weights) {
                for (b, wb) in served.iter().zip(&weights) {
                    let (wa, wb) = (u64::from(*wa), u64::from(*wb));
                    prop_assert!(a * wb <= b * wa + wa * wb, "{served:?} of {weights:?}");
                }
            }
        }
    }

    #[test]
    fn a_change_of_share_is_heeded(changes in prop::collection::vec((1..5_u32, 0..4_usize, 0..2_u8), 1..100)) {
        let places = Places { size: 3, headroom: 0 };
        let mut queue = Queue::default();
        let mut in_use = 0;
        for (weight, max, op) in changes {
            match op {
                0 if in_use > 0 => {
                    queue.give(7, Duration::ZERO);
                    in_use -= 1;
                    continue; // the limit is still the one before
                }
                _ => {
                    queue.push(share(7, weight, max), ());
                }
            }
            while in_use < 3 && queue.pop(places).is_some() {
                in_use += 1;
                prop_assert!(in_use <= max, "{in_use} of {max}");
            }
            prop_assert!(in_use >= max.min(3) || queue.is_empty());
        }
    }
}

// --- in simulated time ----------------------------------------------------------------------------------

/// Numbers that look random.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Done(usize),
    Asks(usize),
    Tick,
}

/// Clients at a pool whose connections all exist; time is in microseconds.
struct Simulation {
    places: Places,
    queue: Queue<(usize, u64)>,
    resting: usize,
    now: u64,
    events: BinaryHeap<Reverse<(u64, Event)>>,
    shares: Vec<Share>,
    lasts: Vec<u64>,
    /// Client, when it got its connection, how long it had waited.
    served: Vec<(usize, u64, u64)>,
}

impl Simulation {
    fn new(places: Places, clients: Vec<(Share, u64)>) -> Self {
        let (shares, lasts) = clients.into_iter().unzip();
        Self {
            places,
            queue: Queue::default(),
            resting: places.size,
            now: 0,
            events: BinaryHeap::from([Reverse((500_000, Event::Tick))]),
            shares,
            lasts,
            served: Vec::new(),
        }
    }

    fn at(&mut self, time: u64, event: Event) {
        self.events.push(Reverse((time, event)));
    }

    fn begin(&mut self, client: usize, since: u64) {
        self.resting -= 1;
        self.served.push((client, self.now, self.now - since));
        self.at(self.now + self.lasts[client], Event::Done(client));
    }

    /// Runs until then; `after` says when a client that is done asks again.
    fn run(&mut self, until: u64, mut after: impl FnMut(usize, u64) -> Option<u64>) {
        while let Some(Reverse((time, event))) = self.events.pop() {
            if time > until {
                self.at(time, event);
                break;
            }
            self.now = time;
            self.queue.expire(Duration::from_micros(time));
            match event {
                Event::Asks(client) => {
                    if self.resting > 0 && self.queue.may_take(self.shares[client], self.places) {
                        self.queue.take(self.shares[client]);
                        self.begin(client, time);
                    } else {
                        self.queue.push(self.shares[client], (client, time));
                    }
                }
                Event::Done(client) => {
                    self.queue.give(self.shares[client].tenant, Duration::from_micros(time));
                    self.resting += 1;
                    if let Some(again) = after(client, time) {
                        self.at(again, Event::Asks(client));
                    }
                }
                Event::Tick => self.at(time + 500_000, Event::Tick),
            }
            while self.resting > 0 {
                let Some((client, since)) = self.queue.pop(self.places) else { break };
                self.begin(client, since);
            }
        }
        self.now = until;
        self.queue.expire(Duration::from_micros(until));
    }
}

/// A hundred clients of the one tenant have transactions of 50 ms, all in phase; four of the other together
/// 200 a second of 0.3 ms.
fn noisy_neighbour(places: Places) -> Vec<(u64, u64)> {
    const A: usize = 100;
    let mut clients = vec![(share(1, 1, NO_LIMIT), 50_000); A];
    clients.extend(vec![(share(2, 1, NO_LIMIT), 300); 4]);
    let mut simulation = Simulation::new(places, clients);
    (0..A).for_each(|client| simulation.at(0, Event::Asks(client)));
    // The four also ask at the same moment.
    (A..A + 4).for_each(|client| simulation.at(1, Event::Asks(client)));
    let begun = |time: u64| time / 20_000;
    simulation
        .run(10_000_000, |client, time| Some(if client < A { time } else { (begun(time) + 1) * 20_000 + 7 }));
    simulation
        .served
        .iter()
        .filter(|(client, ..)| *client >= A)
        .map(|(_, at, waited)| (*at, *waited))
        .collect()
}

#[test]
fn a_noisy_neighbour_is_not_heard() {
    let waits = noisy_neighbour(Places::new(20));
    assert!(waits.len() > 1900, "{}", waits.len());
    let long: Vec<_> = waits.iter().filter(|(at, waited)| *at > 100_000 && *waited > 1000).collect();
    assert!(long.is_empty(), "{long:?}");
    // Fairness alone, without the headroom, is not enough: then the other waits for whole transactions.
    let waits = noisy_neighbour(Places { size: 20, headroom: 0 });
    assert!(waits.iter().any(|(at, waited)| *at > 100_000 && *waited > 10_000));
}

#[test]
fn ten_thousand_tenants_get_their_shares_and_are_forgotten() {
    const TENANTS: u64 = 10_000;
    let weight = |tenant: u64| if tenant.is_multiple_of(100) { 3 } else { 1 };
    // Ten clients each, so 100,000 that wait.
    let clients: Vec<_> =
        (0..TENANTS * 10).map(|n| (share(n % TENANTS, weight(n % TENANTS), NO_LIMIT), 0)).collect();
    let mut simulation = Simulation::new(Places::new(100), clients);
    let mut dice = Dice(42);
    for client in 0..simulation.shares.len() {
        simulation.lasts[client] = 1000 + dice.roll(4000);
        simulation.at(dice.roll(1000), Event::Asks(client));
    }
    simulation.run(4_000_000, |_, time| Some(time));
    assert_eq!(simulation.queue.tenants(), 10_000);
    assert!(simulation.queue.len() > 99_000);
    let mut served: BTreeMap<u64, u64> = BTreeMap::new();
    for (client, at, _) in &simulation.served {
        if *at > 1000 {
            *served.entry(simulation.shares[*client].tenant).or_default() += 1;
        }
    }
    let rounds =
        |tenant: &u64| served.get(tenant).copied().unwrap_or_default() as f64 / f64::from(weight(*tenant));
    let most = (0..TENANTS).map(|t| rounds(&t)).fold(0.0, f64::max);
    let least = (0..TENANTS).map(|t| rounds(&t)).fold(f64::MAX, f64::min);
    // One turn may have begun before the count, and one not be over at its end.
    assert!(least >= 5.0 && most - least <= 2.0, "between {least} and {most} turns");
    let peak = simulation.queue.footprint();
    // Nobody asks again: all that wait are served, and a second later nobody is known.
    simulation.run(60_000_000, |_, _| None);
    let queue = &simulation.queue;
    assert_eq!((queue.len(), queue.tenants(), simulation.resting), (0, 0, 100));
    assert!(queue.footprint() * 50 < peak, "{} of {peak}", queue.footprint());
}

#[test]
fn idle_tenants_cost_nothing_while_others_go_on() {
    // A hundred new tenants each millisecond, one transaction each, for two minutes: twelve million.
    let mut queue: Queue<()> = Queue::default();
    let places = Places::new(50);
    let mut most = 0;
    for n in 0..1_200_000_u64 {
        let now = Duration::from_micros(n * 100);
        queue.expire(now);
        assert!(queue.may_take(share(n, 1, NO_LIMIT), places));
        queue.take(share(n, 1, NO_LIMIT));
        queue.give(n, now);
        most = most.max(queue.footprint());
    }
    assert_eq!(queue.tenants(), 10_000, "of one second");
    assert!(most < 80_000, "{most}");
}

#[test]
fn a_tenant_alone_may_have_all_and_no_more_when_another_comes() {
    let places = Places::new(20);
    let mut queue = Queue::default();
    let (a, b) = (share(1, 1, NO_LIMIT), share(2, 1, NO_LIMIT));
    let mut got = HashMap::from([(1, 0), (2, 0)]);
    let mut take = |queue: &mut Queue<u64>, share: Share| {
        let may = queue.may_take(share, places);
        if may {
            queue.take(share);
            *got.get_mut(&share.tenant).unwrap() += 1;
        }
        may
    };
    assert_eq!((0..20).filter(|_| take(&mut queue, a)).count(), 20);
    queue.give(1, Duration::ZERO);
    assert!(take(&mut queue, b), "the only free one");
    queue.give(2, Duration::ZERO);
    assert!(!take(&mut queue, a), "the other was here just now");
    queue.push(a, 1);
    assert_eq!(queue.peek(places), None);
    queue.expire(Duration::from_millis(999));
    assert_eq!(queue.peek(places), None);
    queue.expire(ACTIVE);
    assert_eq!(queue.pop(places), Some(1), "it is alone again");
    // With others a tenant may have its fair share, and of what is beyond the headroom more.
    (0..20).for_each(|_| queue.give(1, ACTIVE));
    assert!(take(&mut queue, b));
    assert_eq!((0..20).filter(|_| take(&mut queue, a)).count(), 17);
    assert!(take(&mut queue, b) && take(&mut queue, b) && !take(&mut queue, a));
}

#[test]
fn each_turn_is_a_whole_one() {
    let places = Places { size: 10, headroom: 0 };
    let mut queue = Queue::default();
    let (heavy, light) = (share(1, 3, NO_LIMIT), share(2, 1, NO_LIMIT));
    queue.push(heavy, 1);
    assert_eq!(queue.pop(places), Some(1), "the first of three, but nobody else of it waits");
    for _ in 0..4 {
        queue.push(light, 2);
        queue.push(heavy, 1);
    }
    let order: Vec<_> = std::iter::from_fn(|| queue.pop(places)).collect();
    assert_eq!(order, [2, 1, 1, 1, 2, 1, 2, 2], "what was left of that turn is gone");
}

#[test]
fn a_raised_limit_is_for_those_who_wait_already() {
    let places = Places::new(3);
    let mut queue = Queue::default();
    queue.take(share(1, 1, 1));
    queue.push(share(1, 1, 1), 'a');
    assert_eq!(queue.peek(places), None);
    assert!(!queue.may_take(share(1, 1, 2), places), "the newcomer knows of more, but is not the first");
    queue.push(share(1, 1, 2), 'b');
    assert_eq!([queue.pop(places), queue.pop(places)], [Some('a'), None]);
}
