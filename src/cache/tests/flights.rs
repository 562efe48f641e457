//! One query for many.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Wake;

use super::*;

/// Counts how often it is woken.
#[derive(Default)]
struct Bell(AtomicUsize);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn a_thousand_clients_make_one_query() {
    let house = House::new();
    let bell = Arc::new(Bell::default());
    let waker = Waker::from(Arc::clone(&bell));
    let ticket = house.lead("q");
    let mut waiters: Vec<Waiter> = (0..1000).map(|_| house.wait("q")).collect();
    for waiter in &mut waiters {
        assert!(waiter.poll(&Context::from_waker(&waker)).is_pending());
    }
    assert_eq!(house.database.counters.waiters.get(), 1000);
    assert_eq!(house.database.counters.flights.get(), 1);
    assert_eq!(ticket.store(answer("q"), house.about(&["t"]), house.now), Stored::Kept);
    assert_eq!(bell.0.load(Ordering::SeqCst), 1000);
    for waiter in &mut waiters {
        assert!(matches!(poll(waiter), Poll::Ready(Outcome::Stored)));
        assert!(house.is_hit("q"));
    }
    drop(waiters);
    assert_eq!((house.database.counters.waiters.get(), house.database.counters.flights.get()), (0, 0));
    assert_eq!(house.database.flights().len(), 0);
}

#[test]
fn when_the_leader_is_gone_exactly_one_takes_over() {
    let house = House::new();
    let ticket = house.lead("q");
    let mut waiters: Vec<Waiter> = (0..10).map(|_| house.wait("q")).collect();
    drop(ticket);
    let mut outcomes: Vec<_> = waiters.iter_mut().map(poll).collect();
    let leads = |outcomes: &[Poll<Outcome>]| {
        outcomes.iter().filter(|outcome| matches!(outcome, Poll::Ready(Outcome::Lead(_)))).count()
    };
    assert_eq!((leads(&outcomes), outcomes.iter().filter(|outcome| outcome.is_pending()).count()), (1, 9));
    assert!(matches!(outcomes.first(), Some(Poll::Ready(_))), "the one who waited longest");
    assert!(matches!(house.look("q"), Look::Wait(_)), "new ones wait with the others");
    let Poll::Ready(Outcome::Lead(ticket)) = outcomes.remove(0) else { panic!() };
    assert_eq!((ticket.key(), ticket.why()), (house.key("q"), Miss::New));
    ticket.store(answer("q"), house.about(&["t"]), house.now);
    for waiter in waiters.iter_mut().skip(1) {
        assert!(matches!(poll(waiter), Poll::Ready(Outcome::Stored)));
    }
}

#[test]
fn an_heir_that_goes_without_asking_is_followed_by_the_next() {
    let house = House::new();
    let ticket = house.lead("q");
    let mut waiters: Vec<Waiter> = (0..4).map(|_| house.wait("q")).collect();
    // One leaves before, one after it was told.
    waiters.remove(0);
    drop(ticket);
    waiters.remove(0);
    let outcome = poll(&mut waiters[0]);
    assert!(matches!(outcome, Poll::Ready(Outcome::Lead(_))), "{outcome:?}");
    assert!(poll(&mut waiters[1]).is_pending());
    drop(outcome);
    assert!(matches!(poll(&mut waiters[1]), Poll::Ready(Outcome::Lead(_))), "the heir failed, too");
    assert!(matches!(house.look("q"), Look::Lead(_)), "the last one failed, and the flight is over");
    assert_eq!(house.database.flights().len(), 0);
}

#[test]
fn a_flight_without_waiters_leaves_nothing() {
    let house = House::new();
    drop(house.lead("q"));
    let ticket = house.lead("q");
    drop(house.wait("q"));
    drop(ticket);
    assert_eq!(house.database.flights().len(), 0);
    assert_eq!((house.database.counters.waiters.get(), house.database.counters.flights.get()), (0, 0));
}

#[test]
fn who_may_not_wait_goes_alone() {
    let house = House::new();
    let _ticket = house.lead("q");
    let need = Need { wait: false, ..house.need() };
    assert!(matches!(house.database.look(house.key("q"), need, house.now), Look::Alone(Miss::Busy)));
}

#[test]
fn an_answer_that_is_not_kept_sends_all_on_their_own() {
    let mut house = House::new();
    let ticket = house.lead("error");
    let mut waiter = house.wait("error");
    ticket.give_up(GiveUp::NotKept, house.now);
    assert!(matches!(poll(&mut waiter), Poll::Ready(Outcome::Dispersed)));
    assert!(matches!(house.look("error"), Look::Lead(_)), "the next one may try again");

    let ticket = house.lead("big");
    let mut waiter = house.wait("big");
    ticket.give_up(GiveUp::TooBig, house.now);
    assert!(matches!(poll(&mut waiter), Poll::Ready(Outcome::Dispersed)));
    assert!(matches!(house.look("big"), Look::Alone(Miss::TooBig)), "nobody waits for it again");
    house.now += 31 * SECOND;
    assert!(matches!(house.look("big"), Look::Lead(_)), "but not for ever");
}

#[test]
fn an_outdated_answer_lets_the_next_one_ask() {
    let house = House::new();
    let write = || house.database.invalidate_table(None, "t", Source::Write);
    let about = house.about(&["t"]);
    let ticket = house.lead("q");
    let mut waiters: Vec<Waiter> = (0..3).map(|_| house.wait("q")).collect();
    write();
    assert_eq!(ticket.store(answer("old"), about.clone(), house.now), Stored::Outdated);
    let Poll::Ready(Outcome::Lead(ticket)) = poll(&mut waiters[0]) else { panic!() };
    assert!(poll(&mut waiters[1]).is_pending());
    // Written faster than read: they go to the server, or they would wait in vain one after the other.
    write();
    assert_eq!(ticket.store(answer("old"), about, house.now), Stored::Outdated);
    for waiter in &mut waiters[1..] {
        assert!(matches!(poll(waiter), Poll::Ready(Outcome::Dispersed)));
    }
    assert_eq!(house.database.flights().len(), 0);
}

#[test]
fn an_heir_begins_when_it_takes_over() {
    let house = House::new();
    let about = house.about(&["t"]);
    let ticket = house.lead("q");
    let mut waiter = house.wait("q");
    house.database.invalidate_table(None, "t", Source::Write);
    drop(ticket);
    let Poll::Ready(Outcome::Lead(ticket)) = poll(&mut waiter) else { panic!() };
    assert_eq!(ticket.started(), house.database.clock());
    assert_eq!(ticket.store(answer("new"), about, house.now), Stored::Kept);
}

#[test]
fn a_waiter_that_is_polled_by_another_task_wakes_that_one() {
    let house = House::new();
    let bells = [Arc::new(Bell::default()), Arc::new(Bell::default())];
    let ticket = house.lead("q");
    let mut waiter = house.wait("q");
    for bell in &bells {
        let waker = Waker::from(Arc::clone(bell));
        assert!(waiter.poll(&Context::from_waker(&waker)).is_pending());
    }
    drop(ticket);
    assert_eq!(bells.map(|bell| bell.0.load(Ordering::SeqCst)), [0, 1]);
}

#[test]
fn keys_that_are_too_big_are_remembered_within_bounds() {
    let house = House::new();
    for n in 0..100_000 {
        house.lead(&n.to_string()).give_up(GiveUp::TooBig, house.now);
    }
    let remembered = (0..100_000).filter(|n| matches!(house.look(&n.to_string()), Look::Alone(_))).count();
    assert!((1000..=16 * 1024).contains(&remembered), "{remembered}");
    house.cache.sweep(house.now + 60 * SECOND);
    assert!(matches!(house.look("0"), Look::Lead(_)));
}

/// Real threads, real wakers: everybody gets an answer, and nobody asks while somebody else does.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_thousand_tasks_with_leaders_that_fail() {
    let house = Arc::new(House::new());
    let (asking, asked) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let tasks: Vec<_> = (0..1000)
        .map(|n| {
            let (house, asking, asked) = (Arc::clone(&house), Arc::clone(&asking), Arc::clone(&asked));
            tokio::spawn(async move {
                let mut look = house.look("q");
                loop {
                    let ticket = match look {
                        Look::Hit(entry) => return entry.body() == b"q",
                        Look::Lead(ticket) => ticket,
                        Look::Wait(mut waiter) => {
                            // Every seventh loses patience.
                            let heard = std::future::poll_fn(|cx| match waiter.poll(cx) {
                                Poll::Pending if n % 7 == 0 => Poll::Ready(None),
                                other => other.map(Some),
                            });
                            match heard.await {
                                None => return true,
                                Some(Outcome::Lead(ticket)) => ticket,
                                Some(_) => {
                                    look = house.look("q");
                                    continue;
                                }
                            }
                        }
                        other => panic!("{other:?}"),
                    };
                    assert_eq!(asking.fetch_add(1, Ordering::SeqCst), 0, "two ask");
                    tokio::task::yield_now().await;
                    asking.fetch_sub(1, Ordering::SeqCst);
                    // The first five fail.
                    if asked.fetch_add(1, Ordering::SeqCst) < 5 {
                        return true;
                    }
                    return ticket.store(answer("q"), house.about(&["t"]), house.now) == Stored::Kept;
                }
            })
        })
        .collect();
    for task in tasks {
        assert!(task.await.unwrap());
    }
    assert_eq!(asked.load(Ordering::SeqCst), 6, "five that failed, and one");
    assert_eq!(house.database.flights().len(), 0);
    assert_eq!((house.database.counters.waiters.get(), house.database.counters.flights.get()), (0, 0));
}
