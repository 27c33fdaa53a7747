"""Ranks that watch each other: when one of them dies, or its machine is cut off, all others end.

A collective operation of MPI waits for ever for a rank that is gone. So every rank has a connection to rank 0 that
carries nothing: when a process dies its kernel closes it, and when a machine is cut off the probes of TCP's keep-alive
stay without an answer. Both end a read that a thread of each rank waits in.
"""

import os
import secrets
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import NoReturn

from charrnn.parallel.failure_line import FailureLine
from charrnn.parallel.launcher import launcher_pid

IDLE, INTERVAL, PROBES = 5, 3, 4  # seconds until the first probe, between probes, and how many may be lost
CONNECT_SECONDS = 10
GRACE_SECONDS = 5  # for rank 0 to end by itself, if it is not waiting for a rank
SIOCGIFADDR = 0x8915  # of <linux/sockios.h>: the IPv4 address of a network interface
GOODBYE = b"\0"


class Gate:
    """Rank 0's side: accepts a connection from every other rank, then notices when one of them is gone."""

    def __init__(self, size: int, failure: FailureLine) -> None:
        self.listener = socket.create_server(("", 0))
        self.secrets = secrets.token_bytes(16), secrets.token_bytes(16)  # who knows them is one of the ranks
        self.addresses = [(address, self.listener.getsockname()[1]) for address in own_addresses()]
        self.size, self.failure = size, failure
        self.connections: dict[int, socket.socket] = {}
        self.threads: list[threading.Thread] = []
        self.ending = threading.Event()
        self.gone: str | None = None  # what happened to a rank

    def accept(self) -> None:
        """Wait for the connection of every other rank; one that cannot connect is not watched."""
        theirs, ours = self.secrets
        self.listener.settimeout(CONNECT_SECONDS)
        with self.listener, suppress(TimeoutError):
            while len(self.connections) < self.size - 1:
                connection, _ = self.listener.accept()
                hello = receive(connection, len(theirs) + 4)
                if hello[:-4] == theirs:
                    connection.sendall(ours)
                    keep_alive(connection)
                    self.connections[struct.unpack("!i", hello[-4:])[0]] = connection
                else:
                    connection.close()

    def watch(self, names: Sequence[str]) -> None:
        """Watch the connections, each in a thread; `names` are those of all ranks."""
        for rank, connection in self.connections.items():
            self.threads.append(watching(self.watch_one, names[rank], connection))

    def watch_one(self, name: str, connection: socket.socket) -> None:
        """Wait until a rank is gone; then let this process end, by force if it does not notice.

        The connection stays open until then: a rank that has failed waits for its end, and should end last.
        """
        end = "has died"
        try:
            message = connection.recv(1 << 12)
            end = f"has failed: {message.decode(errors='replace')}" if message else end
        except ConnectionError:  # reset, as by a process that was killed
            pass
        except OSError:
            end = "cannot be reached any more"
        if self.ending.is_set():
            return
        if end.startswith("cannot"):
            end_launcher()  # before `gone` is set: the main thread ends this process soon after
        self.failure.set(f"{name} {end}")
        self.gone = self.failure.text
        if not self.ending.wait(GRACE_SECONDS):
            os._exit(1)

    def close(self) -> None:
        """Let the other ranks end, each by itself."""
        self.ending.set()
        for connection in self.connections.values():
            with suppress(OSError):
                connection.sendall(GOODBYE)
                connection.shutdown(socket.SHUT_RDWR)


class Line:
    """The other ranks' side: a connection to rank 0, whose end is the end of this process."""

    def __init__(self, addresses: Sequence[tuple[str, int]], tokens: tuple[bytes, bytes], rank: int) -> None:
        ours, theirs = tokens
        self.connection: socket.socket | None = None
        self.thread: threading.Thread | None = None
        for address in addresses:
            with suppress(OSError):
                connection = socket.create_connection(address, timeout=CONNECT_SECONDS / len(addresses))
                connection.sendall(ours + struct.pack("!i", rank))
                if receive(connection, len(theirs)) == theirs:
                    keep_alive(connection)
                    self.connection, self.thread = connection, watching(self.watch, connection)
                    return
                connection.close()

    def watch(self, connection: socket.socket) -> None:
        """Wait until rank 0 is gone; then end this process, which may be waiting for it in MPI."""
        message = b""
        with connection, suppress(OSError):
            message = connection.recv(1)
        if message != GOODBYE:
            os._exit(0)  # the exit code of the program is that of rank 0; mpiexec would mix the two

    def report(self, error: BaseException) -> NoReturn:
        """Send rank 0 the error that ends this rank, and end after it: mpiexec may kill it when this rank ends."""
        if self.connection and self.thread:
            with suppress(OSError):
                text = f"{type(error).__name__}: {error}".removesuffix(": ")
                self.connection.sendall(text.encode("utf-8", "replace")[: 1 << 12])
                self.thread.join(2 * GRACE_SECONDS)
        os._exit(1)


def end_launcher() -> None:
    """Let a process of its own end mpiexec soon, if it runs on this machine: it would wait for the lost machine."""
    if pid := launcher_pid():
        words, null = ["sh", "-c", f"sleep {GRACE_SECONDS + 1}; kill {pid}"], subprocess.DEVNULL
        with suppress(OSError):
            subprocess.Popen(words, stdin=null, stdout=null, stderr=null, start_new_session=True)


def watching(target: Callable[..., None], *arguments: object) -> threading.Thread:
    """Start a thread that does not keep the process from ending."""
    thread = threading.Thread(target=target, args=arguments, daemon=True)
    thread.start()
    return thread


def receive(connection: socket.socket, size: int) -> bytes:
    """Read `size` bytes from a connection, or fewer if it ends; return them."""
    connection.settimeout(CONNECT_SECONDS)
    data = b""
    with suppress(OSError):
        while len(data) < size and (more := connection.recv(size - len(data))):
            data += more
    connection.settimeout(None)
    return data


def keep_alive(connection: socket.socket) -> None:
    """Let the kernel test the other side, so that a read ends about 20 seconds after a machine was cut off."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in {"TCP_KEEPIDLE": IDLE, "TCP_KEEPINTVL": INTERVAL, "TCP_KEEPCNT": PROBES}.items():
        if hasattr(socket, name):
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def own_addresses() -> list[str]:
    """Return the IPv4 addresses of this machine, at which other machines may reach it; the loopback comes first."""
    found = ["127.0.0.1"]
    with suppress(OSError):
        found += socket.gethostbyname_ex(socket.gethostname())[2]
    if sys.platform == "linux":
        import fcntl

        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            for _, name in socket.if_nameindex():
                with suppress(OSError):
                    answer = fcntl.ioctl(probe, SIOCGIFADDR, struct.pack("256s", name.encode()[:15]))
                    found.append(socket.inet_ntoa(answer[20:24]))
    return list(dict.fromkeys(found))
