//! Lending: who gets which connection, and what becomes of it when it comes back.

use std::sync::Arc;

use super::core::{Acquire, Inner, Pool, Want};
use super::lease::Lease;
use super::queue::Ticket;
use super::recover;
use super::slots::Limits;
use super::waiter::{Cell, Waiter};
use crate::backend::Backend;
use crate::wire::PgError;

/// Of the resting connections, so many are looked at for one that needs no change of settings.
const LOOK_AT: usize = 8;

impl Pool {
    /// A connection, or a place in the queue for one. Nobody overtakes those of the same tenant, nor others
    /// whose turn it may be.
    pub fn acquire(self: &Arc<Self>, want: Want) -> Acquire {
        let mut inner = self.inner.lock();
        if inner.queue.tenants() > 1 {
            inner.queue.expire(self.time());
        }
        while inner.queue.may_take(want.share, self.places(&inner)) {
            let Some(mut backend) = inner.take_idle(&want, self.limits(), false) else { break };
            inner.queue.take(want.share);
            backend.lent_to = Some(want.share.tenant);
            drop(inner);
            if backend.is_alive() {
                return Acquire::Ready(Lease::new(Arc::clone(self), backend, &want));
            }
            backend.set_broken();
            self.close(backend);
            inner = self.inner.lock();
        }
        if inner.closing {
            return Acquire::Refused(PgError::fatal("57P01", "the proxy is shutting down"));
        }
        if let Some(error) = self.hopeless(&inner) {
            return Acquire::Refused(error);
        }
        let cell = Cell::new(want);
        let ticket = inner.queue.push(want.share, Arc::clone(&cell));
        let more = self.has_work(&inner);
        drop(inner);
        if more {
            self.go_on(want.worker);
        }
        Acquire::Wait(Waiter { pool: Arc::clone(self), cell, ticket })
    }

    /// A waiting client goes.
    pub(super) fn leave_queue(&self, ticket: Ticket) {
        self.inner.lock().queue.remove(ticket, self.time());
    }

    /// Takes a connection back: for the next in the queue, to rest, or to be closed.
    pub(super) fn give_back(self: &Arc<Self>, mut backend: Box<Backend>) {
        if !backend.is_broken() && !backend.handle.is_calm() {
            recover::spawn(Arc::clone(self), backend, false);
            return;
        }
        let old = self.settings().server_lifetime.is_some_and(|life| backend.age() > life);
        if !backend.is_reusable() || backend.session.is_worn() || old {
            self.close(backend);
            return;
        }
        backend.rest();
        let worker = backend.home;
        let mut inner = self.inner.lock();
        if inner.closing {
            drop(inner);
            self.close(backend);
            return;
        }
        if let Some(tenant) = backend.lent_to.take() {
            inner.queue.give(tenant, self.time());
        }
        if inner.queue.is_empty() {
            inner.idle.push(backend);
            return;
        }
        // When others rest too, one of them may suit the next better.
        let next = if inner.idle.is_empty() { self.pop(&mut inner) } else { None };
        let lent = if next.is_some() {
            Some(backend)
        } else {
            inner.idle.push(backend);
            None
        };
        let more = self.has_work(&inner);
        drop(inner);
        if let (Some(cell), Some(backend)) = (next, lent) {
            self.hand_over(&cell, backend);
        }
        if more {
            self.go_on(worker);
        }
    }

    /// Whether [`Self::go_on`] has anything to do.
    fn has_work(&self, inner: &Inner) -> bool {
        let lend = !inner.idle.is_empty() && inner.queue.peek(self.places(inner)).is_some();
        lend || self.may_open(inner, self.limits())
    }

    /// Whose turn it is; from now on the tenant has a connection more.
    pub(super) fn pop(&self, inner: &mut Inner) -> Option<Arc<Cell>> {
        let places = self.places(inner);
        inner.queue.pop(places)
    }

    /// Gives a connection to the one whose turn it was.
    pub(super) fn hand_over(self: &Arc<Self>, cell: &Cell, mut backend: Box<Backend>) {
        backend.lent_to = Some(cell.want.share.tenant);
        if let Some(backend) = cell.deliver(Ok(backend)) {
            self.give_back(backend); // it has left at this very moment
        }
    }

    /// What is possible now for those who wait: resting connections are lent, new ones made.
    pub(super) fn go_on(self: &Arc<Self>, worker: usize) {
        loop {
            let mut closed = self.serve(false);
            if !self.open_more(worker) {
                closed |= self.serve(true);
            }
            if !closed {
                return;
            }
        }
    }

    /// Lends resting connections to those whose turn it is; `any`: also ones that must be cleaned first. True
    /// if some were dead, so that new ones may be made.
    fn serve(self: &Arc<Self>, any: bool) -> bool {
        let mut closed = false;
        loop {
            let mut inner = self.inner.lock();
            if inner.idle.is_empty() {
                return closed;
            }
            let Some(want) = inner.queue.peek(self.places(&inner)).map(|cell| cell.want) else {
                return closed;
            };
            let Some(mut backend) = inner.take_idle(&want, self.limits(), any) else { return closed };
            drop(inner); // to look at the socket
            if !backend.is_alive() {
                backend.set_broken();
                self.discard(backend);
                closed = true;
                continue;
            }
            let mut inner = self.inner.lock();
            // It may be somebody else's turn meanwhile, or nobody's.
            if let Some(cell) = self.pop(&mut inner) {
                drop(inner);
                self.hand_over(&cell, backend);
            } else if inner.closing {
                drop(inner);
                self.discard(backend);
            } else {
                inner.idle.push(backend);
            }
        }
    }

    /// Closes a connection and gives its place to whoever waits.
    pub(super) fn close(self: &Arc<Self>, backend: Box<Backend>) {
        let worker = backend.home;
        self.discard(backend);
        self.go_on(worker);
    }

    /// Closes a connection; its place and its tenant's share are free.
    fn discard(&self, mut backend: Box<Backend>) {
        tracing::debug!(server = %backend.id(), pool = %self.key(), "server connection closed");
        let (lent_to, id) = (backend.lent_to.take(), backend.id());
        backend.terminate();
        let mut inner = self.inner.lock();
        inner.slots.closed();
        inner.servers.retain(|server| server.id != id);
        if let Some(tenant) = lent_to {
            inner.queue.give(tenant, self.time());
        }
        drop(inner);
        self.limit.give();
    }
}

impl Inner {
    /// The resting connection that fits best: the client's own, one with its settings, if it may be one that
    /// its tenant used last, and a clean one. One that must be cleaned first, because of another client's
    /// traces or another tenant, only when no new one may be made, or when there will be none (`any`).
    fn take_idle(&mut self, want: &Want, limits: Limits, any: bool) -> Option<Box<Backend>> {
        let idle = &mut self.idle;
        let tenant = want.share.tenant;
        if want.has_traces
            && let Some(at) = idle.iter().position(|b| b.owner == Some((want.client, tenant)))
        {
            return Some(idle.remove(at));
        }
        let clean =
            |b: &Backend| b.owner.is_none() && (!want.strict || b.tenant.is_none_or(|last| last == tenant));
        if want.last
            && let Some(at) = idle.iter().rposition(|b| b.last_client == Some(want.client) && clean(b))
        {
            return Some(idle.remove(at));
        }
        let fits =
            |b: &Backend| clean(b) && b.home == want.worker && b.session.settings().id() == want.settings;
        let newest = idle.len().saturating_sub(LOOK_AT);
        let mut best = None;
        for (at, backend) in idle.iter().enumerate().skip(newest).rev().filter(|(_, b)| fits(b)) {
            if backend.tenant == Some(tenant) {
                best = Some(at);
                break;
            }
            best = best.or(Some(at));
        }
        if let Some(at) = best.or_else(|| idle.iter().rposition(|b| clean(b))) {
            return Some(idle.swap_remove(at));
        }
        if !any && self.slots.taken() < limits.size { None } else { idle.pop() }
    }

    /// A connection that has just been made rests.
    pub(super) fn rest(&mut self, backend: Box<Backend>) {
        self.idle.push(backend);
    }
}
