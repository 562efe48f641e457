//! Whose turn it is: waiting clients of many tenants, and what each tenant has. Pure; time comes in as the
//! time since the pool began.
//!
//! **Order.** Deficit round robin: the tenants that wait stand in a ring; whoever's turn it is gets as many
//! connections in a row as its weight, then goes to the end. Within a tenant: first come, first served. So
//! one tenant alone is served first come, first served, and of several none waits for longer than one round.
//!
//! **Limits.** A tenant that has as many connections as it may (`max_connections`, the leases and those on
//! their way to a waiter) leaves the ring until it gives one back; the others pass.
//!
//! **Headroom.** A transaction cannot be interrupted. A tenant that had all places would make the others wait
//! for as long as its transactions last, however fair the queue is. So while at least two tenants are active
//! (have connections, wait, or did so within the last second), the last few free places are for those that
//! have less than their fair share of the places; a tenant that has its share passes when no more than these
//! are free. That is the one case in which a connection rests while somebody waits; the queue is work
//! conserving in every other. Nobody waits for good: who passes has its fair share, of at least one, and is
//! looked at again when a connection comes back, when a place opens and when the others' activity is over.
//!
//! **Cost.** Nothing depends on how many wait or how many tenants there are. Whose turn it is passes over
//! tenants that have connections; there are no more of them than places.

use std::collections::HashMap;
use std::time::Duration;

use super::chain::{Arena, Chain, Id};
use super::share::{Places, Share};

/// A tenant without connections and waiters is active for so long; then it is forgotten.
pub const ACTIVE: Duration = Duration::from_secs(1);
/// A map of tenants that is smaller is not worth being shrunk.
const SMALL: usize = 64;

/// A place in the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    slot: Id,
    number: u64,
}

#[derive(Debug)]
struct Waiting<T> {
    number: u64,
    tenant: Id,
    waiter: T,
}

#[derive(Debug)]
struct Tenant {
    share: Share,
    /// Connections that it has or that are on their way to it.
    in_use: usize,
    /// Who waits, the first first.
    waiters: Chain,
    /// What is left of its turn; 0: its turn has not begun.
    deficit: u32,
    idle_since: Duration,
    stands: Stands,
}

/// The chain that a tenant hangs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stands {
    /// In the ring: it waits, and has less than its limit.
    InRing,
    /// Among the idle: it has nothing and nobody waits.
    Idle,
    /// In none: it works, or waits at its limit.
    Aside,
}

/// What decides who may have a connection now.
#[derive(Clone, Copy)]
struct Rule {
    places: Places,
    free: usize,
    weights: u64,
    /// Only the headroom is left.
    scarce: bool,
}

impl Rule {
    fn fair(self, share: Share) -> usize {
        self.places.fair(share.weight, self.weights)
    }

    fn allows(self, share: Share, in_use: usize) -> bool {
        in_use < share.max_connections && (!self.scarce || in_use < self.fair(share))
    }
}

/// The queue, and what each tenant has.
#[derive(Debug)]
pub struct Queue<T> {
    waiting: Arena<Waiting<T>>,
    tenants: Arena<Tenant>,
    numbers: HashMap<u64, Id>,
    /// Tenants that wait below their limit, in the order of their turns.
    ring: Chain,
    /// Tenants that are about to be forgotten, the longest idle first.
    idle: Chain,
    /// The sum of all tenants' weights.
    weights: u64,
    /// Connections that tenants have.
    in_use: usize,
    next: u64,
    /// The latest time that it was told.
    now: Duration,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self {
            waiting: Arena::default(),
            tenants: Arena::default(),
            numbers: HashMap::new(),
            ring: Chain::default(),
            idle: Chain::default(),
            weights: 0,
            in_use: 0,
            next: 0,
            now: Duration::ZERO,
        }
    }
}

impl<T> Queue<T> {
    /// Whether a newcomer may have a connection at once. Not before those of its own tenant, and not before
    /// others that wait and may have one too.
    pub fn may_take(&self, share: Share, places: Places) -> bool {
        let free = places.size.saturating_sub(self.in_use);
        if self.is_empty() && free > places.headroom && share.max_connections == usize::MAX {
            return true; // the usual case: there is room for everybody
        }
        let known = self.known(share.tenant);
        let in_use = known.map_or(0, |tenant| tenant.in_use);
        let weights = self.weights - known.map_or(0, |tenant| u64::from(tenant.share.weight));
        let tenants = self.tenants.len() + usize::from(known.is_none());
        let rule = self.rule(places, weights + u64::from(share.weight), tenants);
        rule.allows(share, in_use)
            && known.is_none_or(|tenant| tenant.waiters.first().is_none())
            && self.turn(places).is_none()
    }

    /// A connection goes to this tenant, past the queue.
    pub fn take(&mut self, share: Share) {
        let id = self.tenant(share);
        if let Some(tenant) = self.tenants.get_mut(id) {
            tenant.in_use += 1;
            self.in_use += 1;
        }
        self.settle(id);
    }

    /// This tenant has a connection less.
    pub fn give(&mut self, tenant: u64, now: Duration) {
        self.tell(now);
        let Some(id) = self.numbers.get(&tenant).copied() else { return };
        if let Some(tenant) = self.tenants.get_mut(id).filter(|tenant| tenant.in_use > 0) {
            tenant.in_use -= 1;
            self.in_use -= 1;
        }
        self.settle(id);
    }

    /// Takes a place behind the others of its tenant.
    pub fn push(&mut self, share: Share, waiter: T) -> Ticket {
        let tenant = self.tenant(share);
        let number = self.next;
        self.next += 1;
        let slot = self.waiting.insert(Waiting { number, tenant, waiter });
        if let Some(tenant) = self.tenants.get_mut(tenant) {
            self.waiting.push_back(&mut tenant.waiters, slot);
        }
        self.settle(tenant);
        Ticket { slot, number }
    }

    /// Whose turn is next, of those who may have a connection.
    pub fn peek(&self, places: Places) -> Option<&T> {
        let first = self.tenants.get(self.turn(places)?)?.waiters.first()?;
        self.waiting.get(first).map(|waiting| &waiting.waiter)
    }

    /// It is this one's turn: it leaves the queue, and its tenant has a connection more.
    pub fn pop(&mut self, places: Places) -> Option<T> {
        let id = self.turn(places)?;
        let tenant = self.tenants.get_mut(id)?;
        let slot = tenant.waiters.first()?;
        self.waiting.unlink(&mut tenant.waiters, slot);
        tenant.in_use += 1;
        self.in_use += 1;
        if tenant.deficit == 0 {
            tenant.deficit = tenant.share.weight;
        }
        tenant.deficit = tenant.deficit.saturating_sub(1);
        if tenant.deficit == 0 {
            self.tenants.unlink(&mut self.ring, id);
            self.tenants.push_back(&mut self.ring, id);
        }
        self.settle(id);
        self.waiting.remove(slot).map(|waiting| waiting.waiter)
    }

    /// Leaves the queue; `None` if it was this one's turn already.
    pub fn remove(&mut self, ticket: Ticket, now: Duration) -> Option<T> {
        self.tell(now);
        let id = self.waiting.get(ticket.slot).filter(|waiting| waiting.number == ticket.number)?.tenant;
        if let Some(tenant) = self.tenants.get_mut(id) {
            self.waiting.unlink(&mut tenant.waiters, ticket.slot);
        }
        self.settle(id);
        self.waiting.remove(ticket.slot).map(|waiting| waiting.waiter)
    }

    /// Takes out all that are to go, in the order in which they came. Looks at everybody.
    pub fn extract(&mut self, now: Duration, mut go: impl FnMut(&T) -> bool) -> Vec<T> {
        let leaving = self.waiting.iter().filter(|(_, waiting)| go(&waiting.waiter));
        let mut gone: Vec<_> = leaving.map(|(slot, w)| Ticket { slot, number: w.number }).collect();
        gone.sort_unstable_by_key(|ticket| ticket.number);
        gone.into_iter().filter_map(|ticket| self.remove(ticket, now)).collect()
    }

    /// The one that has waited for longest, of the tenants that are not at their limits. Looks at all of them.
    pub fn oldest(&self) -> Option<&T> {
        let firsts = self.tenants.chain(self.ring).filter_map(|(_, tenant)| tenant.waiters.first());
        let oldest = firsts.filter_map(|slot| self.waiting.get(slot)).min_by_key(|waiting| waiting.number);
        oldest.map(|waiting| &waiting.waiter)
    }

    /// The one that has waited for longest of all, whether its tenant is at its limit or not. Looks at all tenants.
    pub fn longest(&self) -> Option<&T> {
        let firsts = self.tenants.iter().filter_map(|(_, tenant)| tenant.waiters.first());
        let oldest = firsts.filter_map(|slot| self.waiting.get(slot)).min_by_key(|waiting| waiting.number);
        oldest.map(|waiting| &waiting.waiter)
    }

    /// How many of those who wait could have a connection if there were enough; counted up to `most`.
    pub fn servable(&self, most: usize, places: Places) -> usize {
        let rule = self.rule(places, self.weights, self.tenants.len());
        let guarded = self.tenants.len() > 1 && places.headroom > 0;
        // Within the fair shares, and above them.
        let (mut within, mut above) = (0, 0);
        let count = |within: usize, above: usize| {
            let left = rule.free.saturating_sub(within).saturating_sub(places.headroom);
            within + above.min(left)
        };
        for (_, tenant) in self.tenants.chain(self.ring) {
            let may_have = tenant.share.max_connections.saturating_sub(tenant.in_use).min(most);
            let waiting = self.waiting.chain(tenant.waiters).take(may_have).count();
            let fair = if guarded {
                waiting.min(rule.fair(tenant.share).saturating_sub(tenant.in_use))
            } else {
                waiting
            };
            (within, above) = (within + fair, above + waiting - fair);
            if count(within, above) >= most {
                return most;
            }
        }
        count(within, above)
    }

    /// Forgets tenants that have been idle for [`ACTIVE`]. Whoever waits because of them may have its turn now.
    pub fn expire(&mut self, now: Duration) {
        self.tell(now);
        while let Some(id) = self.idle.first() {
            if self.tenants.get(id).is_some_and(|tenant| tenant.idle_since + ACTIVE > self.now) {
                return;
            }
            self.tenants.unlink(&mut self.idle, id);
            let Some(tenant) = self.tenants.remove(id) else { return };
            self.numbers.remove(&tenant.share.tenant);
            self.weights -= u64::from(tenant.share.weight);
            if self.numbers.capacity() > SMALL && self.numbers.len() < self.numbers.capacity() / 4 {
                self.numbers.shrink_to(self.numbers.len() * 2);
            }
        }
    }

    /// Connections that a tenant has or that are on their way to it.
    pub fn in_use(&self, tenant: u64) -> usize {
        self.known(tenant).map_or(0, |tenant| tenant.in_use)
    }

    /// How many of a tenant's clients wait.
    pub fn waiting(&self, tenant: u64) -> usize {
        self.known(tenant).map_or(0, |tenant| self.waiting.chain(tenant.waiters).count())
    }

    /// Active tenants.
    pub fn tenants(&self) -> usize {
        self.tenants.len()
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// True when nobody waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Entries that it has memory for.
    #[cfg(test)]
    pub(super) fn footprint(&self) -> usize {
        self.waiting.capacity() + self.tenants.capacity() + self.numbers.capacity()
    }

    fn known(&self, tenant: u64) -> Option<&Tenant> {
        self.tenants.get(*self.numbers.get(&tenant)?)
    }

    /// The entry of a tenant, with what its share is now.
    fn tenant(&mut self, share: Share) -> Id {
        let share = Share { weight: share.weight.max(1), ..share };
        if let Some(id) = self.numbers.get(&share.tenant).copied() {
            if let Some(tenant) = self.tenants.get_mut(id).filter(|tenant| tenant.share != share) {
                self.weights = self.weights - u64::from(tenant.share.weight) + u64::from(share.weight);
                tenant.share = share;
            }
            return id;
        }
        self.weights += u64::from(share.weight);
        let id = self.tenants.insert(Tenant {
            share,
            in_use: 0,
            waiters: Chain::default(),
            deficit: 0,
            idle_since: self.now,
            stands: Stands::Aside,
        });
        self.numbers.insert(share.tenant, id);
        id
    }

    /// Brings a tenant to the chain that it belongs to now.
    fn settle(&mut self, id: Id) {
        let Some(tenant) = self.tenants.get_mut(id) else { return };
        let stands = match (tenant.waiters.first(), tenant.in_use) {
            (Some(_), n) if n < tenant.share.max_connections => Stands::InRing,
            (None, 0) => Stands::Idle,
            _ => Stands::Aside,
        };
        let before = std::mem::replace(&mut tenant.stands, stands);
        if before == stands {
            return;
        }
        (tenant.deficit, tenant.idle_since) = (0, self.now);
        match before {
            Stands::InRing => self.tenants.unlink(&mut self.ring, id),
            Stands::Idle => self.tenants.unlink(&mut self.idle, id),
            Stands::Aside => {}
        }
        match stands {
            Stands::InRing => self.tenants.push_back(&mut self.ring, id),
            Stands::Idle => self.tenants.push_back(&mut self.idle, id),
            Stands::Aside => {}
        }
    }

    /// Time does not go back, although two threads may tell it in another order than they saw it.
    fn tell(&mut self, now: Duration) {
        self.now = self.now.max(now);
    }

    fn rule(&self, places: Places, weights: u64, tenants: usize) -> Rule {
        let free = places.size.saturating_sub(self.in_use);
        Rule { places, free, weights, scarce: tenants > 1 && places.headroom > 0 && free <= places.headroom }
    }

    /// The tenant whose turn it is.
    fn turn(&self, places: Places) -> Option<Id> {
        let rule = self.rule(places, self.weights, self.tenants.len());
        let mut ring = self.tenants.chain(self.ring);
        ring.find(|(_, tenant)| rule.allows(tenant.share, tenant.in_use)).map(|(id, _)| id)
    }
}
