"""10,000 clients that listen: what each costs, and how soon all have heard of a NOTIFY."""

import select
import statistics
import time

import proc
import wire
from base import Case
from proc import Failed
from servers import DATABASE, USER

CLIENTS = 10_000
CHANNELS = 1_000
TURNS = 9
PATIENCE = 30


class Listen(Case):
    """Each client listens to one of 1,000 channels, and to one that all listen to."""

    fresh = True
    most_rounds = 2

    def suits(self, target):
        return target.name == "howdah"

    def warm(self, target):
        clients = wire.open_clients(target.port, USER, DATABASE, 50)
        self.listen(clients)
        self.tell(clients[0])
        self.heard(clients)
        wire.close(clients)
        time.sleep(0.5)

    @staticmethod
    def listen(clients):
        for first in range(0, len(clients), 50):
            some = clients[first : first + 50]
            for n, sock in enumerate(some, first):
                wire.send_query(sock, f"LISTEN c{n % CHANNELS}; LISTEN everybody")
            for sock in some:
                wire.until_ready(sock)

    @staticmethod
    def tell(sock):
        """The notifier does not listen itself."""
        wire.send_query(sock, "SELECT pg_notify('everybody', 'hear this')")

    @staticmethod
    def heard(clients):
        """Waits until each has something to read; then reads it."""
        poll = select.epoll(len(clients))
        for sock in clients:
            poll.register(sock, select.EPOLLIN | select.EPOLLONESHOT)
        left, end = len(clients), time.monotonic() + PATIENCE
        while left and time.monotonic() < end:
            left -= len(poll.poll(1, len(clients)))
            # Not at each of them: the reader shall not take the time that is measured.
            time.sleep(0.001)
        done = time.monotonic()
        poll.close()
        if left:
            raise Failed(f"{left} of {len(clients)} clients have heard nothing")
        for sock in clients:
            if b"hear this" not in sock.recv(65536):
                raise Failed("a client got something else than the notification")
        return done

    def sample(self, target):
        wanted = 2 * CLIENTS + 500
        limit = proc.raise_open_files(wanted)
        if limit < CLIENTS + 200:
            raise Failed(f"{CLIENTS} clients need more open files than {limit}")
        (notifier,) = wire.open_clients(target.port, USER, DATABASE, 1)
        before = proc.memory_kib(target.pid, "VmRSS")
        clients = wire.open_clients(target.port, USER, DATABASE, CLIENTS)
        try:
            time.sleep(1)
            resting = proc.memory_kib(target.pid, "VmRSS")
            started = time.monotonic()
            self.listen(clients)
            listens = CLIENTS / (time.monotonic() - started)
            time.sleep(2)
            after = proc.memory_kib(target.pid, "VmRSS")
            times = []
            for _ in range(TURNS):
                started = time.monotonic()
                self.tell(notifier)
                times.append(1000 * (self.heard(clients) - started))
                wire.until_ready(notifier)
            last = proc.memory_kib(target.pid, "VmRSS")
        finally:
            wire.close([notifier, *clients])
        return {
            "kib_per_client": (after - before) / CLIENTS,
            "kib_resting": (resting - before) / CLIENTS,
            "kib_after": (last - before) / CLIENTS,
            "listens_s": listens,
            "all_ms": statistics.median(times),
            "worst_ms": max(times),
        }


CASES = {"listen": Listen}
