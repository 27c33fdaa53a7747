"""Train on hosts of their own: network namespaces that are connected by veth pairs, with ranks that tc slows down.

    make cluster                              # as root, on Linux with iproute2
    python -m tests.cluster --cuts 20 --kills 100
    python -m tests.cluster --cuts 5 --kills 0 --name b    # beside another one, with namespaces of its own

Each host is a network namespace with one address on a bridge. The ranks are started by MPICH's mpiexec, whose ssh is
a script that enters a namespace. What is checked: a run on two and four hosts, with delay and limited bandwidth, is
the run of one process; a rank that is killed and a host that is cut off end all ranks within 30 seconds, leave no
process and a whole model, and the run resumes on other numbers of ranks.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from charrnn.checkpoint.store import CheckpointStore
from tests.helpers.command import ENVIRONMENT, command
from tests.helpers.ranks import MPIEXEC

ENDS_WITHIN = 30.0  # seconds
SLOW, DELAY = "rate 100mbit", "delay 2ms"
TEXT = "".join(f"{n % 7} fishes, {n * n % 11} hens and a fox.\n" for n in range(400))
NETWORK = "--hidden-size 16 --embed-size 8 --num-layers 1 --batch-size 12 --seq-len 16 --threads 1 -q"
TRAIN = ("train", "a.txt", *NETWORK.split())
ENDLESS = ("--steps", 10**9, "--eval-every", 10**9, "--save-every", 20, "--resume", "--json")


def sh(words: str, check: bool = True) -> str:
    """Run a command and return its output."""
    done = subprocess.run(words.split(), capture_output=True, text=True, check=False)
    if check and done.returncode:
        raise SystemExit(f"{words}: {done.stderr.strip()}")
    return done.stdout


class Hosts:
    """Some network namespaces on one bridge, 10.77.0.1, 10.77.0.2, …, and mpiexec's way into them."""

    name = "charrnn"  # the beginning of the names of all network devices and namespaces

    def __init__(self, count: int, folder: Path, slow: bool = False) -> None:
        self.count, self.folder, self.shape = count, folder, ""
        self.addresses = [f"10.77.0.{k + 1}" for k in range(count)]
        bridge = f"{self.name}-br"
        sh(f"ip link add {bridge} type bridge")
        sh(f"ip link set {bridge} up")
        for k, address in enumerate(self.addresses):
            sh(f"ip netns add {self.name}-{k}")
            sh(f"ip link add {self.name}-v{k} type veth peer name eth0 netns {self.name}-{k}")
            sh(f"ip link set {self.name}-v{k} master {bridge} up")
            sh(f"ip -n {self.name}-{k} addr add {address}/24 dev eth0")
            sh(f"ip -n {self.name}-{k} link set eth0 up")
            sh(f"ip -n {self.name}-{k} link set lo up")
            if slow:
                self.slow_down(k)
        self.ssh = folder / "ssh"
        cases = "".join(f"{address}) host={self.name}-{k};; " for k, address in enumerate(self.addresses))
        self.ssh.write_text(
            '#!/bin/sh\nwhile [ "${1#-}" != "$1" ]; do shift; done\n'
            f'case "$1" in {cases}esac\nshift\nexec ip netns exec $host sh -c "$*"\n'
        )
        self.ssh.chmod(0o755)

    def slow_down(self, k: int) -> None:
        """Limit what a host sends to SLOW, and delay it where the kernel has netem."""
        add = f"ip netns exec {self.name}-{k} tc qdisc add dev eth0 root"
        done = subprocess.run(f"{add} netem {DELAY} {SLOW}".split(), capture_output=True, check=False)
        if done.returncode:
            sh(f"{add} tbf {SLOW} burst 64kbit latency 400ms")
        self.shape = SLOW if done.returncode else f"{SLOW} {DELAY}"

    def words(self, ranks: int, *args: object) -> list[str]:
        """Return the command line that starts ranks on the hosts, in turn, from the first host."""
        hosts = ",".join(self.addresses)
        launcher = [MPIEXEC or "mpiexec", "-launcher", "ssh", "-launcher-exec", str(self.ssh), "-hosts", hosts]
        return ["ip", "netns", "exec", f"{self.name}-0", *launcher, "-n", str(ranks), *command(*args)]

    def pids(self) -> list[int]:
        """Return the processes that are in the namespaces."""
        return [int(pid) for k in range(self.count) for pid in sh(f"ip netns pids {self.name}-{k}", False).split()]

    def cut(self, k: int) -> None:
        """Cut a host off."""
        sh(f"ip link set {self.name}-v{k} down")

    def join(self, k: int) -> None:
        """Connect a host again."""
        sh(f"ip link set {self.name}-v{k} up")


def remove() -> None:
    """Remove the namespaces and the bridge, also those of an earlier run that was killed."""
    for name in sh("ip netns list").split():
        if name.startswith(f"{Hosts.name}-"):
            for pid in sh(f"ip netns pids {name}").split():
                os.kill(int(pid), signal.SIGKILL)
            sh(f"ip netns del {name}")
    devices = [f"{Hosts.name}-br", *(f"{Hosts.name}-v{k}" for k in range(4))]
    for name in devices:  # a link goes with its namespace, but later
        sh(f"ip link del {name}", check=False)


@contextmanager
def hosts(count: int, folder: Path, slow: bool = False) -> Iterator[Hosts]:
    """Set up hosts, and remove them afterwards."""
    remove()
    try:
        yield Hosts(count, folder, slow)
    finally:
        remove()


def run(words: list[str], folder: Path) -> None:
    """Run a command to its end; raises SystemExit if it fails."""
    done = subprocess.run(words, env=ENVIRONMENT, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    if done.returncode:
        raise SystemExit(f"exit code {done.returncode}: {done.stderr}")


def history(folder: Path, name: str) -> list[float]:
    """Return the validation losses of a model."""
    state = CheckpointStore(folder / "checkpoints" / f"{name}.npz").load()
    return [row[2] for row in state.history]


def check_losses(folder: Path) -> None:
    """Check that several hosts, slow ones too, train the model of one process."""
    steps = ("--steps", 200, "--eval-every", 20, "--dropout", 0.1)
    run(command(*TRAIN, *steps, "-m", "one"), folder)
    expected = history(folder, "one")
    for count, slow in ((2, False), (4, False), (2, True)):
        name = f"hosts{count}{'slow' if slow else ''}"
        with hosts(count, folder, slow) as found:
            began = time.monotonic()
            run(found.words(count, *TRAIN, *steps, "-m", name), folder)
            seconds = time.monotonic() - began
        worst = float(np.abs(np.array(history(folder, name)) - expected).max())
        print(f"losses | {count} hosts {found.shape} | {seconds:.1f} s | largest difference {worst:.1e}", flush=True)
        assert worst < 1e-4


def check_ends(kind: str, count: int, folder: Path, random_: random.Random) -> None:
    """Kill a rank, or cut off a host, in the middle of a run, many times; the run must resume each time."""
    longest, steps = 0.0, list[int]()
    (folder / "checkpoints" / f"{kind}.npz").unlink(missing_ok=True)
    for attempt in range(count):
        ranks = random_.choice((2, 3, 4))
        with hosts(2, folder) as found:
            words = found.words(ranks, *TRAIN, *ENDLESS, "-m", kind)
            launcher = subprocess.Popen(
                words, env=ENVIRONMENT, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE
            )
            assert launcher.stdout
            wait_for_steps(launcher, steps[-1] if steps else 0)
            time.sleep(random_.uniform(0, 0.5))
            pids = found.pids()
            workers = [pid for pid in pids if is_rank(pid)]
            began = time.monotonic()
            if kind == "cut":
                found.cut(1)
            else:
                os.kill(random_.choice(workers), signal.SIGKILL)
            while found.pids() and time.monotonic() - began < 60:
                time.sleep(0.05)
            seconds = time.monotonic() - began
            left = found.pids()
            launcher.kill()
            errors = launcher.communicate(timeout=30)[1].decode().splitlines()
        longest = max(longest, seconds)
        state = CheckpointStore(folder / "checkpoints" / f"{kind}.npz").load()
        steps.append(state.step)
        line = f"{kind} {attempt + 1} of {count} | {ranks} ranks | ended in {seconds:.1f} s | saved step {state.step}"
        print(line, flush=True)
        assert not left, [Path(f"/proc/{pid}/cmdline").read_bytes() for pid in left]
        assert seconds < ENDS_WITHIN
        assert len([each for each in errors if each.startswith("charrnn:")]) == 1, errors
        assert steps == sorted(steps)
    run(command(*TRAIN, "-m", kind, "--resume", "--steps", steps[-1] + 1), folder)
    print(f"{kind} | {count} times | none lost | longest {longest:.1f} s | resumed at step {steps[-1]}", flush=True)


def wait_for_steps(launcher: "subprocess.Popen[bytes]", step: int) -> None:
    """Wait until a run has saved itself after a step."""
    assert launcher.stdout
    for line in launcher.stdout:
        event = json.loads(line)
        if event["event"] == "save" and event["step"] > step:
            return
    raise SystemExit("the run has not begun")


def is_rank(pid: int) -> bool:
    """Return whether a process is a rank."""
    try:
        return b"from charrnn.cli import main" in Path(f"/proc/{pid}/cmdline").read_bytes() and (
            b"mpiexec" not in Path(f"/proc/{pid}/cmdline").read_bytes()
        )
    except OSError:
        return False


def main() -> None:
    """Run all checks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--cuts", type=int, default=3)
    parser.add_argument("--losses", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--name", default=Hosts.name, help="name of the namespaces, 10 letters at most")
    given = parser.parse_args()
    Hosts.name = given.name
    if os.geteuid() or sys.platform != "linux":
        raise SystemExit("needs root on Linux, for network namespaces")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "a.txt").write_text(TEXT)
        if given.losses:
            check_losses(folder)
        for kind, count in (("kill", given.kills), ("cut", given.cuts)):
            if count:
                check_ends(kind, count, folder, random.Random(given.seed))
    print("all passed")


if __name__ == "__main__":
    main()
