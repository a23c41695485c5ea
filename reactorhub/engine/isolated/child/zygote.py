"""The zygote: forks a process for each order, tells how each ended, and lets none outlive the hub.

It is single-threaded and waits for nothing but its socket and the end of its children. On the socket come
lines of JSON: ``{"fork": key}`` together with the socket on which the new process finds its order, and
``{"reap": key}`` once the hub does not need the number of that process any more. Until then a dead process
stays a zombie, so that no signal of the hub's can hit a stranger. The answers are lines of JSON, too.
"""

from __future__ import annotations

import gc
import json
import os
import select
import signal
import socket
import sys
import time
from collections import deque
from typing import Any

from .job import begin
from .preload import preload
from .processes import (
    adopt_orphans,
    children,
    end_all,
    kill_group,
    signal_at_parents_death,
    used_memory,
)

IGNORED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)  # a zygote ends with its hub, and not before
FAR_OVER = 1.25  # times its limit, at which a process gets no time to end in order
LOOK_EVERY = 1.0  # seconds between looks at how much memory the children use
_MAX_READ = 65536  # bytes
_MAX_SOCKETS = 64  # of one read


class Child:
    """A process that was forked."""

    def __init__(self, key: str, pid: int, memory_limit: int | None) -> None:
        self.key = key
        self.pid = pid
        self.memory_limit = memory_limit
        self.dead = False


class Zygote:
    """Serves one hub until the hub is gone."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._wake, self._woken = socket.socketpair()
        self._wake.setblocking(False)
        self._woken.setblocking(False)
        self._sockets: deque[int] = deque()
        self._children: dict[str, Child] = {}
        self._received = b""
        self._looked = time.monotonic()

    def serve(self) -> None:
        """Work until the hub is gone, or closes the socket."""
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._wake.fileno(), warn_on_full_buffer=False)
        poll = select.poll()
        poll.register(self._control, select.POLLIN)
        poll.register(self._woken, select.POLLIN)
        while True:
            ready = [fd for fd, _ in poll.poll(self._timeout())]
            if self._woken.fileno() in ready:
                self._drain()
                self._look_for_ends()
            self._look_at_memory()
            if self._control.fileno() in ready and not self._take_orders():
                return

    def end(self) -> None:
        """Kill all children and all that they have left behind."""
        for child in self._children.values():
            kill_group(child.pid)
        while left := children():  # what dies leaves its own children to us
            end_all(left)

    def _timeout(self) -> int | None:
        limited = any(child.memory_limit and not child.dead for child in self._children.values())
        return int(LOOK_EVERY * 1000) if limited else None

    def _drain(self) -> None:
        try:
            while self._woken.recv(_MAX_READ):
                pass
        except BlockingIOError:
            return

    def _take_orders(self) -> bool:
        """Read what the hub has sent; False once it is gone."""
        try:
            data, sockets, _, _ = socket.recv_fds(self._control, _MAX_READ, _MAX_SOCKETS)
        except ConnectionError:
            return False
        self._sockets.extend(sockets)
        *lines, self._received = (self._received + data).split(b"\n")
        for line in lines:
            self._obey(json.loads(line))
        return bool(data)

    def _obey(self, order: dict[str, Any]) -> None:
        if "fork" in order:
            self._fork(order["fork"], order.get("memory_limit"))
        elif "reap" in order:
            self._reap(order["reap"])

    def _fork(self, key: str, memory_limit: int | None) -> None:
        own = self._sockets.popleft()
        parent = os.getpid()
        try:
            pid = os.fork()
        except OSError as error:
            os.close(own)
            self._say({"failed": key, "error": f"no process could be forked: {error}"})
            return
        if pid == 0:
            self._become_child(parent, own)
        os.close(own)
        self._children[key] = Child(key, pid, memory_limit)
        self._say({"forked": key, "pid": pid})

    def _become_child(self, parent: int, own: int) -> None:
        """Be the new process from here on; never returns."""
        status = 1
        try:
            signal_at_parents_death(signal.SIGKILL)
            if os.getppid() != parent:
                return
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGCHLD, *IGNORED):
                signal.signal(number, signal.SIG_DFL)
            for each in (self._control, self._wake, self._woken):
                each.close()
            for fd in self._sockets:
                os.close(fd)
            os.setsid()
            adopt_orphans()  # so that what comes to the zygote belongs to a process that is dead
            status = begin(socket.socket(fileno=own))
        except BaseException:  # noqa: BLE001 - nothing may run on as a second zygote
            sys.excepthook(*sys.exc_info())
        finally:
            os._exit(status)

    def _look_for_ends(self) -> None:
        for child in self._children.values():
            if not child.dead:
                info = os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
                if info is not None:
                    self._ended(child, info.si_code == os.CLD_EXITED, info.si_status)
        self._end_orphans()

    def _ended(self, child: Child, exited: bool, status: int) -> None:
        child.dead = True
        kill_group(child.pid)
        self._end_orphans()
        self._say({"exited": child.key, "status": status if exited else -status})

    def _end_orphans(self) -> None:
        """Kill what dead children have left behind. As long as a child lives it keeps its own orphans."""
        ours = {each.pid for each in self._children.values()}
        while left := children() - ours:  # what dies leaves its own children to us
            end_all(left)

    def _reap(self, key: str) -> None:
        child = self._children.pop(key, None)
        if child is not None:
            if not child.dead:
                kill_group(child.pid)
            os.waitpid(child.pid, 0)

    def _look_at_memory(self) -> None:
        now = time.monotonic()
        if now - self._looked < LOOK_EVERY:
            return
        self._looked = now
        for child in self._children.values():
            if child.memory_limit and not child.dead:
                used = used_memory(child.pid)
                if used > child.memory_limit:
                    self._say({"over": child.key, "used": used})
                if used > child.memory_limit * FAR_OVER:
                    kill_group(child.pid)

    def _say(self, message: dict[str, Any]) -> None:
        try:
            self._control.sendall(json.dumps(message).encode() + b"\n")
        except OSError:
            return  # the hub is gone; the next read says so


def main(fd: int) -> None:
    """Be a zygote on the socket ``fd``."""
    control = socket.socket(fileno=fd)
    for number in IGNORED:
        signal.signal(number, signal.SIG_IGN)
    signal_at_parents_death(signal.SIGCONT)  # a zygote that is stopped goes on, and finds the hub gone
    adopt_orphans()
    zygote = Zygote(control)
    try:
        versions = preload()
        gc.collect()
        gc.freeze()
        zygote._say({"ready": versions})
        zygote.serve()
    finally:
        zygote.end()
