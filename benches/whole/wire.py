"""Just enough of protocol 3.0 to open many plain clients and to read a huge row."""

import select
import socket
import struct

from proc import Failed

TIMEOUT = 60
HEAD = struct.Struct("!cI")


def _startup(user, database):
    pairs = f"user\0{user}\0database\0{database}\0\0".encode()
    return struct.pack("!II", len(pairs) + 8, 196608) + pairs


def _query(sql):
    text = sql.encode() + b"\0"
    return b"Q" + struct.pack("!I", len(text) + 4) + text


def _complain(body):
    fields = {part[:1]: part[1:] for part in bytes(body).split(b"\0") if part}
    code, text = fields.get(b"C", b"?").decode("latin-1"), fields.get(b"M", b"?").decode("utf-8", "replace")
    raise Failed(f"error {code}: {text}")


def until_ready(sock):
    """Reads small messages up to ReadyForQuery; returns the number of rows."""
    buffer, rows = bytearray(), 0
    while True:
        chunk = sock.recv(65536)
        if not chunk:
            raise Failed("the connection was closed")
        buffer += chunk
        at = 0
        while len(buffer) - at >= 5:
            kind, length = HEAD.unpack_from(buffer, at)
            if len(buffer) - at < length + 1:
                break
            body = buffer[at + 5 : at + length + 1]
            at += length + 1
            if kind == b"E":
                _complain(body)
            if kind == b"R" and body[:4] != b"\0\0\0\0":
                raise Failed("asked for a password where trust is configured")
            rows += kind == b"D"
            if kind == b"Z":
                return rows
        del buffer[:at]


def _dial(port):
    sock = socket.create_connection(("127.0.0.1", port), TIMEOUT)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def open_clients(port, user, database, count, wave=50):
    """Opens clients, each of which logs in and runs one query; `wave` of them at a time."""
    clients = []
    try:
        while len(clients) < count:
            fresh = []
            for _ in range(min(wave, count - len(clients))):
                fresh.append(_dial(port))
                clients.append(fresh[-1])
            for sock in fresh:
                sock.sendall(_startup(user, database))
            for sock in fresh:
                until_ready(sock)
            ask(fresh)
    except BaseException:
        close(clients)
        raise
    return clients


def send_query(sock, sql):
    sock.sendall(_query(sql))


def ask(clients):
    """One query on each of these clients, all at once."""
    for sock in clients:
        sock.sendall(_query("SELECT 1"))
    for sock in clients:
        if until_ready(sock) != 1:
            raise Failed("SELECT 1 did not answer with one row")


def disturbed(clients):
    """How many resting clients have been closed or sent something."""
    poll = select.poll()
    for sock in clients:
        poll.register(sock, select.POLLIN)
    return len(poll.poll(0))


def close(clients):
    for sock in clients:
        try:
            sock.sendall(b"X\0\0\0\4")
        except OSError:
            pass
        sock.close()


def _frame(kind, body):
    return kind + struct.pack("!I", len(body) + 4) + body


def prepare_many(port, user, database, count, batch=50):
    """Parses, runs and closes so many statements, each with a text of its own, some Syncs in flight."""
    (sock,) = open_clients(port, user, database, 1)
    for first in range(0, count, batch):
        frames = bytearray()
        for n in range(first, min(first + batch, count)):
            name = f"s{n}".encode() + b"\0"
            frames += _frame(b"P", name + f"SELECT {n} AS n".encode() + b"\0\0\0")
            frames += _frame(b"B", b"\0" + name + b"\0\0\0\0\0\0") + _frame(b"E", b"\0\0\0\0\0")
            frames += _frame(b"C", b"S" + name)
        sock.sendall(bytes(frames) + _frame(b"S", b""))
        rows = until_ready(sock)
        if rows != min(batch, count - first):
            raise Failed(f"{rows} rows instead of {batch}")
    sock.close()


def discard(port, user, database, sql):
    """Runs a query and throws its rows away as they arrive; returns the bytes of the rows."""
    (sock,) = open_clients(port, user, database, 1)
    try:
        sock.sendall(_query(sql))
        buffer = memoryview(bytearray(1 << 20))
        held, skip, size = 0, 0, 0
        while True:
            got = sock.recv_into(buffer[held:])
            if got == 0:
                raise Failed("the connection was closed in the middle of the result")
            end, at = held + got, 0
            while True:
                step = min(skip, end - at)
                at, skip = at + step, skip - step
                if skip or end - at < 5:
                    break
                kind, length = HEAD.unpack_from(buffer, at)
                if kind == b"D":
                    size += length - 4
                elif kind == b"Z":
                    return size
                elif kind == b"E":
                    _complain(buffer[at + 5 : end])
                at, skip = at + 5, length - 4
            held = end - at
            buffer[:held] = bytes(buffer[at:end])
    finally:
        close([sock])
