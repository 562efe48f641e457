"""Child processes, and what /proc knows about them."""

import ctypes
import os
import pwd
import resource
import signal
import socket
import subprocess
import time

TICK = os.sysconf("SC_CLK_TCK")
PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None, use_errno=True)


class Failed(Exception):
    """Something could not be started or measured."""


class WrongUsage(Failed):
    """The command line asks for what does not exist."""


def service_user():
    """Who runs the servers: PostgreSQL and PgBouncer refuse root."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise Failed("started as root, but there is neither a user postgres nor nobody")


def raise_open_files(wanted):
    """Raises the limit of open files for this process and its children; returns the limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft >= wanted:
        return soft
    for limits in ((wanted, max(hard, wanted)), (min(wanted, hard), hard)):
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
            break
        except (ValueError, OSError):
            continue
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


class Children:
    """Every process that was started here; close() ends them, the last one first."""

    def __init__(self):
        self.running = []

    def spawn(self, command, user=None, stop=signal.SIGTERM, **kwargs):
        def die_with_parent():
            LIBC.prctl(PR_SET_PDEATHSIG, int(stop), 0, 0, 0)

        if user is not None:
            kwargs.update(user=user.pw_uid, group=user.pw_gid, extra_groups=[])
        child = subprocess.Popen(
            command, start_new_session=True, preexec_fn=die_with_parent, **kwargs
        )
        child.stop_signal = stop
        self.running.append(child)
        return child

    def run(self, command, timeout, **kwargs):
        """Runs a command to its end and returns its output; raises Failed unless it exits with 0."""
        return self.run_together([(command, kwargs)], timeout)[0]

    def run_together(self, jobs, timeout):
        """Runs commands at the same time; jobs are (command, arguments of Popen). Their outputs."""
        children = []
        try:
            for command, kwargs in jobs:
                kwargs = {"stdout": subprocess.PIPE} | kwargs
                child = self.spawn(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, **kwargs)
                children.append((os.path.basename(command[0]), child))
            end = time.monotonic() + timeout
            return [self._output(name, child, end - time.monotonic(), timeout) for name, child in children]
        finally:
            for _, child in children:
                self.stop(child)

    def _output(self, name, child, left, timeout):
        try:
            out, err = child.communicate(timeout=max(left, 0.1))
        except subprocess.TimeoutExpired:
            raise Failed(f"{name} took more than {timeout:.0f} s") from None
        if child.returncode != 0:
            lines = err.decode(errors="replace").strip().splitlines()[-4:]
            raise Failed(f"{name} exited with {child.returncode}: " + " | ".join(lines))
        return (out or b"").decode(errors="replace")

    def stop(self, child):
        for sig, patience in ((child.stop_signal, 5), (signal.SIGQUIT, 3), (signal.SIGKILL, 5)):
            if child.poll() is not None:
                break
            child.send_signal(sig)
            try:
                child.wait(patience)
            except subprocess.TimeoutExpired:
                continue
        if child in self.running:
            self.running.remove(child)

    def close(self):
        for child in reversed(list(self.running)):
            self.stop(child)


def family(pid):
    """The process and all that descend from it."""
    parents = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/stat") as file:
                    parents[int(entry)] = int(file.read().rpartition(")")[2].split()[1])
            except OSError:
                continue
    found = [pid]
    for known in found:
        found.extend(child for child, parent in parents.items() if parent == known)
    return found


def _ticks(pid):
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def _scheduled(pid):
    total = 0
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/schedstat") as file:
                total += int(file.read().split()[0])
    except (OSError, ValueError, IndexError):
        return 0.0
    return total / 1e9


def cpu_seconds(pid):
    """User + system time of a process family.

    stat counts in ticks of 10 ms but keeps the time of threads that have ended; schedstat counts
    nanoseconds of the living threads. Both are rounded down, so the larger one is nearer.
    """
    total = 0.0
    for member in family(pid):
        try:
            total += max(_ticks(member), _scheduled(member))
        except OSError:
            continue
    return total


def memory_kib(pid, field):
    """VmRSS or VmHWM of a process family in KiB."""
    total = 0
    for member in family(pid):
        try:
            with open(f"/proc/{member}/status") as file:
                total += sum(int(line.split()[1]) for line in file if line.startswith(field + ":"))
        except OSError:
            continue
    return total


def reset_peak(pid):
    for member in family(pid):
        with open(f"/proc/{member}/clear_refs", "w") as file:
            file.write("5")


def machine():
    """What the figures depend on: cores, model, kernel, load."""
    model = "?"
    with open("/proc/cpuinfo") as file:
        for line in file:
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    return {
        "cores": len(os.sched_getaffinity(0)),
        "cpu": model,
        "kernel": os.uname().release,
        "load": round(os.getloadavg()[0], 2),
        "date": time.strftime("%Y-%m-%d"),
    }


def stolen():
    """(stolen, all) CPU ticks of the machine so far."""
    with open("/proc/stat") as file:
        fields = [int(word) for word in file.readline().split()[1:9]]
    return fields[7], sum(fields)
