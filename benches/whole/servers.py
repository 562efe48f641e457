"""The throw-away PostgreSQL and the proxies in front of it."""

import base64
import glob
import hashlib
import hmac
import os
import re
import shutil
import signal
import socket
import subprocess
import time
import urllib.request

import proc
import wire
from proc import Failed

USER = "bench"  # trusted everywhere
SCRAM_USER = "bench_scram"  # logs in with a password
TENANT_USER = "app"  # logs in at Howdah as app.TENANT
PASSWORD = "a-benchmark-only"
DATABASE = "bench"
POOL = 20
PREPARED = 200
MAX_CLIENTS = 11_000

ORDERS_EACH = 25_000
TENANTS = ("t0", "t1", "t2", "t3")
# The same rows with and without a policy; order n belongs to tenant n % 4.
ORDERS = (
    f"CREATE TABLE orders_plain AS SELECT n AS id, 't' || n % {len(TENANTS)} AS tenant_id, n % 1000 AS total "
    f"FROM generate_series(0, {ORDERS_EACH * len(TENANTS) - 1}) n",
    "ALTER TABLE orders_plain ADD PRIMARY KEY (id)",
    "CREATE TABLE orders (LIKE orders_plain INCLUDING ALL)",
    "INSERT INTO orders SELECT * FROM orders_plain",
    "ALTER TABLE orders ENABLE ROW LEVEL SECURITY",
    "CREATE POLICY own ON orders USING (tenant_id = (SELECT current_setting('app.tenant_id', true)))",
    "GRANT SELECT ON orders, orders_plain TO PUBLIC",
)


def scram_verifier(password, iterations=4096):
    """As in pg_authid, so that no proxy pays for PBKDF2 at a login."""
    salt = os.urandom(16)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, iterations)
    client = hmac.digest(salted, b"Client Key", "sha256")
    server = hmac.digest(salted, b"Server Key", "sha256")
    stored = hashlib.sha256(client).digest()
    salt, stored, server = (base64.b64encode(x).decode() for x in (salt, stored, server))
    return f"SCRAM-SHA-256${iterations}:{salt}${stored}:{server}"


def version_of(command, pattern):
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.search(pattern, done.stdout + done.stderr)
    return found.group(1) if found else None


def find_postgres(given=None):
    """The folder of initdb, postgres, psql and pgbench; version 15 is preferred."""
    folders = [given] if given else ["/usr/lib/postgresql/15/bin"]
    if not given:
        numbered = glob.glob("/usr/lib/postgresql/*/bin")
        folders += sorted(numbered, key=lambda path: -float(path.split("/")[-2]))
        folders += os.get_exec_path()
    for folder in folders:
        if all(os.access(f"{folder}/{tool}", os.X_OK) for tool in ("initdb", "postgres", "psql", "pgbench")):
            return folder
    raise Failed("no folder with initdb, postgres, psql and pgbench (see --pg-bin)")


def find_tool(given, name, *others):
    """A path, or None."""
    if given:
        return shutil.which(given)
    for path in (name, *others):
        found = shutil.which(path)
        if found:
            return found
    return None


class Place:
    """What every server here needs: the temporary folder, the child processes, the user."""

    def __init__(self, folder, children, user):
        self.folder, self.children, self.user = folder, children, user

    def write(self, name, text):
        path = os.path.join(self.folder, name)
        with open(path, "w") as file:
            file.write(text)
        self.hand_over(path)
        return path

    def hand_over(self, path):
        if self.user:
            os.chown(path, self.user.pw_uid, self.user.pw_gid)


def last_words(log):
    with open(log, errors="replace") as file:
        return " | ".join(file.read().strip().splitlines()[-4:]) or "nothing logged"


def await_port(child, port, log, what, seconds=20):
    """Waits until something listens; says what the log says if it does not."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and child.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise Failed(f"{what} did not start (exit {child.poll()}): {last_words(log)}")


class Postgres:
    preload = False

    def __init__(self, place, bin_folder):
        self.place, self.bin, self.port = place, bin_folder, proc.free_port()
        self.version = version_of([f"{bin_folder}/postgres", "--version"], r"(\d+[.\d]*)")

    def start(self, scale, verifier):
        self.scale = scale
        place = self.place
        data = os.path.join(place.folder, "data")
        os.mkdir(data, 0o700)
        place.hand_over(data)
        environment = {"PATH": os.environ.get("PATH", ""), "LC_ALL": "C.UTF-8", "HOME": place.folder}
        place.children.run(
            [f"{self.bin}/initdb", "-D", data, "-U", "postgres", "-A", "trust", "-N", "-E", "UTF8"],
            timeout=120, user=place.user, env=environment, cwd=place.folder,
        )
        with open(f"{data}/pg_hba.conf", "w") as file:
            file.write(f"host all {SCRAM_USER} 127.0.0.1/32 scram-sha-256\n")
            file.write("host all all 127.0.0.1/32 trust\n")
        settings = {
            "port": self.port, "listen_addresses": "127.0.0.1", "unix_socket_directories": "",
            "max_connections": 300, "shared_buffers": "512MB", "fsync": "off",
            "synchronous_commit": "off", "full_page_writes": "off", "max_wal_size": "4GB",
            "autovacuum": "off", "logging_collector": "off",
        }
        if self.preload:
            # Nothing is counted but of roles that are set so.
            settings |= {"shared_preload_libraries": "pg_stat_statements", "pg_stat_statements.track": "none"}
        command = [f"{self.bin}/postgres", "-D", data]
        for key, value in settings.items():
            command += ["-c", f"{key}={value}"]
        log = os.path.join(place.folder, "postgres.log")
        with open(log, "w") as out:
            child = place.children.spawn(
                command, user=place.user, stop=signal.SIGINT, env=environment, cwd=place.folder,
                stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
            )
        await_port(child, self.port, log, "PostgreSQL")
        self._await_queries()
        self._fill(scale, verifier)

    def _await_queries(self):
        """The port is open a moment before queries are answered."""
        for _ in range(100):
            try:
                return wire.close(wire.open_clients(self.port, "postgres", "postgres", 1))
            except (OSError, Failed) as problem:
                last = problem
                time.sleep(0.1)
        raise Failed(f"PostgreSQL does not answer: {last}")

    def _fill(self, scale, verifier):
        self.psql("postgres", f"CREATE DATABASE {DATABASE}")
        self.psql("postgres", f"CREATE ROLE {USER} LOGIN")
        self.psql("postgres", f"CREATE ROLE {SCRAM_USER} LOGIN PASSWORD '{verifier}'")
        self.place.children.run(
            [f"{self.bin}/pgbench", "-i", "-q", "-s", str(scale), DATABASE],
            timeout=600, env=client_environment(self.port, "postgres"),
        )
        self.psql(DATABASE, "GRANT SELECT ON ALL TABLES IN SCHEMA public TO PUBLIC")
        for statement in ORDERS:
            self.psql(DATABASE, statement)
        self.psql(DATABASE, "VACUUM ANALYZE")
        self.psql(DATABASE, "CHECKPOINT")

    def ask(self, database, sql):
        """The first field of the first row."""
        return self.place.children.run(
            [f"{self.bin}/psql", "-X", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", sql, database],
            timeout=60, env=client_environment(self.port, "postgres"),
        ).strip()

    def psql(self, database, sql):
        self.place.children.run(
            [f"{self.bin}/psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-c", sql, database],
            timeout=300, env=client_environment(self.port, "postgres"),
        )


def client_environment(port, user):
    return {
        "PATH": os.environ.get("PATH", ""), "LC_ALL": "C.UTF-8",
        "PGHOST": "127.0.0.1", "PGPORT": str(port), "PGUSER": user, "PGPASSWORD": PASSWORD,
        "PGDATABASE": DATABASE, "PGSSLMODE": "disable", "PGGSSENCMODE": "disable",
        "PGCONNECT_TIMEOUT": "20", "PGPASSFILE": "/nonexistent", "PGSERVICEFILE": "/nonexistent",
    }


class Direct:
    """No proxy at all, for orientation."""

    name, pools, pid = "direct", False, None

    def __init__(self, server):
        self.port = server.port
        self.version = server.version

    def start(self, case):
        pass

    def stop(self):
        pass

    def check(self):
        pass

    def can_prepare(self):
        return True


class Proxy:
    """One proxy; start() gives a fresh process each time."""

    name, pools = "", True

    def __init__(self, place, server, binary, verifier):
        self.place, self.server, self.binary, self.verifier = place, server, binary, verifier
        self.child, self.port, self.log, self.starts = None, None, None, 0
        self.version = self.ask_version()

    @property
    def pid(self):
        return self.child.pid if self.child else None

    def can_prepare(self):
        return True

    def start(self, case):
        self.starts += 1
        self.port = proc.free_port()
        stem = f"{self.name}-{self.starts}"
        command, user = self.command(stem, case)
        self.log = os.path.join(self.place.folder, f"{stem}.log")
        with open(self.log, "w") as out:
            self.child = self.place.children.spawn(
                command, user=user, cwd=self.place.folder,
                stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
            )
        await_port(self.child, self.port, self.log, self.name)

    def check(self):
        """Raises Failed if the process has ended by itself."""
        status = self.child.poll()
        if status is not None:
            raise Failed(f"ended by itself (exit {status}): {last_words(self.log)}")

    def stop(self):
        if self.child:
            self.place.children.stop(self.child)
            self.child = None


class Haproxy(Proxy):
    """Only moves bytes: the yardstick of everything that has one server connection per client."""

    name, pools = "haproxy", False

    def ask_version(self):
        return version_of([self.binary, "-v"], r"version (\d[.\d]*)")

    def command(self, stem, case):
        path = self.place.write(f"{stem}.cfg", f"""global
    nbthread 2
    maxconn 1000
defaults
    mode tcp
    timeout connect 5s
    timeout client 1h
    timeout server 1h
frontend clients
    bind 127.0.0.1:{self.port}
    default_backend postgres
backend postgres
    server one 127.0.0.1:{self.server.port}
""")
        return [self.binary, "-db", "-f", path], self.place.user


class Pgbouncer(Proxy):
    name = "pgbouncer"

    def ask_version(self):
        return version_of([self.binary, "--version"], r"PgBouncer (\d[.\d]*)")

    def can_prepare(self):
        """Prepared statements in transaction mode came with 1.21."""
        return tuple(map(int, (self.version or "0").split(".")[:2])) >= (1, 21)

    def command(self, stem, case):
        users = self.place.write(f"{stem}.users", f'"{SCRAM_USER}" "{self.verifier}"\n"{USER}" ""\n')
        prepared = f"max_prepared_statements = {PREPARED}\n" if self.can_prepare() else ""
        path = self.place.write(f"{stem}.ini", f"""[databases]
{DATABASE} = host=127.0.0.1 port={self.server.port} dbname={DATABASE} user={USER}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {self.port}
unix_socket_dir =
auth_type = {"scram-sha-256" if case.scram else "trust"}
auth_file = {users}
pool_mode = transaction
default_pool_size = {case.pool}
max_client_conn = {MAX_CLIENTS}
log_connections = 0
log_disconnections = 0
{prepared}""")
        return [self.binary, path], self.place.user


class Pgpool(Proxy):
    """One backend, no balancing, and its memory cache."""

    name, pools = "pgpool", False

    def ask_version(self):
        return version_of([self.binary, "--version"], r"version (\d[.\d]*)")

    def command(self, stem, case):
        folder = os.path.join(self.place.folder, stem)
        os.mkdir(folder)
        self.place.hand_over(folder)
        settings = {
            "backend_clustering_mode": "raw", "listen_addresses": "127.0.0.1", "port": self.port,
            "socket_dir": folder, "pcp_socket_dir": folder, "pcp_listen_addresses": "", "pcp_port": proc.free_port(),
            "backend_hostname0": "127.0.0.1", "backend_port0": self.server.port, "backend_weight0": 1,
            "num_init_children": 40, "max_pool": 1, "enable_pool_hba": "off", "sr_check_period": 0,
            "health_check_period": 0, "load_balance_mode": "off", "log_min_messages": "error",
            "pid_file_name": f"{folder}/pid", "logdir": folder,
            "memory_cache_enabled": "on", "memqcache_method": "shmem", "memqcache_expire": 0,
            "memqcache_oiddir": folder,
        }
        path = self.place.write(f"{stem}.conf", "".join(f"{key} = '{value}'\n" for key, value in settings.items()))
        return [self.binary, "-n", "-f", path], self.place.user


# Continues the table of USER, who carries no tenant.
TENANCY = f"""tenant = "none"
[users.{TENANT_USER}]
tenants = "*"
[tenancy]
[tenants."*"]
"""


class Howdah(Proxy):
    name = "howdah"
    workers = None

    def ask_version(self):
        return version_of([self.binary, "--version"], r"(\d+\.\d[-.\w]*)")

    def command(self, stem, case):
        workers = f"worker_threads = {self.workers}\n" if self.workers else ""
        self.http_port = proc.free_port()
        path = self.place.write(f"{stem}.toml", f"""[listen]
addresses = ["127.0.0.1:{self.port}"]
auth_type = "{"scram-sha-256" if case.scram else "trust"}"
max_client_conn = {MAX_CLIENTS}
{workers}
[http]
address = "127.0.0.1:{self.http_port}"
[log]
level = "warn"
[pool]
pool_mode = "transaction"
default_pool_size = {case.pool}
max_prepared_statements = {PREPARED}
[databases.{DATABASE}]
host = "127.0.0.1"
port = {self.server.port}
dbname = "{DATABASE}"
user = "{USER}"
[users.{SCRAM_USER if case.scram else USER}]
{f'password = "{self.verifier}"' if case.scram else ""}
{TENANCY if case.tenancy else ""}
{"[cache]" if case.cache else ""}
{case.extra}
[admin]
users = ["{SCRAM_USER if case.scram else USER}"]
""")
        # Not as another user: the binary may lie where only its builder can read.
        return [os.path.abspath(self.binary), "run", "-c", path], None

    def metrics(self):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.http_port}/metrics", timeout=10) as answer:
            return answer.read().decode()
