"""What another person may have put where the program reads and writes: links, special files, files of other users."""

import os
import signal
import socket
import stat
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from charrnn.checkpoint.format import to_bytes
from charrnn.checkpoint.store import CheckpointStore
from charrnn.core.errors import CheckpointError
from tests.helpers.files import with_entry
from tests.robustness.experiment import (
    OPTIONS,
    TEXT,
    Experiment,
    UnavailableError,
    a_run,
    ended,
    fork,
    forked,
    leave,
    measured,
)

SECONDS, MEGABYTES = 20.0, 300.0  # of a command, the latter more than this process has
ANOTHER, A_THIRD = 12_001, 12_002  # numbers of users that need not exist
TRAIN = ("train", "a.txt", *OPTIONS, "--steps", 2, "-m", "m.npz", "-q")


class Links(Experiment):
    """Links and special files stand where the program creates files; nothing may be written through them."""

    commands = (
        *((*TRAIN, how) for how in ("--resume", "--force")),
        ("eval", "a.txt", "-m", "m.npz", "--heatmap", "--html", "m.html", "-q"),
        ("eval", "a.txt", "-m", "m.npz", "--heatmap", "--svg", "m.svg", "-q"),
    )
    names = ("m.npz.lock", ".m.npz.{}.tmp", "m.npz", "m.html", ".m.html.{}.tmp", "m.svg", ".m.svg.{}.tmp")

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        (folder / "a.txt").write_text(TEXT)
        assert ended(forked(folder, *TRAIN)) == 0
        self.model = (folder / "m.npz").read_bytes()
        self.precious, self.missing = folder / "precious.txt", folder / "missing.txt"

    def attempt(self, number: int) -> str:
        """Plant one thing in one place and run a command; return a description of what it harms."""
        draw = np.random.default_rng([number, 7])
        command = self.commands[draw.integers(len(self.commands))]
        name, kind = self.names[draw.integers(len(self.names))], list(PLANTED)[draw.integers(len(PLANTED))]
        self.prepare()
        plant = partial(self.plant, name, PLANTED[kind])
        code, _, _ = measured(forked(self.folder, *command, before=plant), SECONDS)
        said, what = (
            (self.folder / "stderr").read_text("utf-8", "replace"),
            f"{kind} at {name}, {command[0]}",
        )
        if self.precious.read_text() != "keep" or self.missing.exists():
            return f"{what}: written through"
        failed = [line for line in said.splitlines() if line.startswith("charrnn: ")]
        if code not in (0, 1, 2) or "Traceback" in said or len(failed) != (code > 0):
            return f"{what}: exit {code}: {said!r}"
        return "" if name == "m.npz" else self.broken(what)

    def prepare(self) -> None:
        """Restore the folder: a text, a model, and a file that nobody may change."""
        for path in self.folder.iterdir():
            if path.name not in ("a.txt", "stderr"):
                path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
        (self.folder / "m.npz").write_bytes(self.model)
        self.precious.write_text("keep")

    def plant(self, name: str, make: Callable[[Path, Path, Path], object]) -> None:
        """Put something at a name, in which {} is the number of the process that will run the command."""
        path = self.folder / name.format(os.getpid())
        path.unlink(missing_ok=True)
        make(path, self.precious, self.missing)

    def broken(self, what: str) -> str:
        """Return a description if the model is not whole."""
        try:
            CheckpointStore(self.folder / "m.npz").load()
        except CheckpointError as error:
            return f"{what}: {error}"
        return ""


PLANTED: dict[str, Callable[[Path, Path, Path], object]] = {
    "a link": lambda path, precious, missing: path.symlink_to(precious),
    "a dangling link": lambda path, precious, missing: path.symlink_to(missing),
    "a second name": lambda path, precious, missing: os.link(precious, path),
    "a pipe": lambda path, precious, missing: os.mkfifo(path),
    "a folder": lambda path, precious, missing: path.mkdir(),
    "a link to a pipe": lambda path, precious, missing: linked_to_a_pipe(path),
    "a link to itself": lambda path, precious, missing: path.symlink_to(path.name),
    "a large file": lambda path, precious, missing: path.write_bytes(b"1" * 5000),
}


def linked_to_a_pipe(path: Path) -> None:
    """Make a link to a pipe; never one to a device, which root could replace when the protection is removed."""
    pipe = path.with_name("pipe")
    pipe.unlink(missing_ok=True)
    os.mkfifo(pipe)
    path.symlink_to(pipe.name)


class SpecialFiles(Experiment):
    """Every command is given special files and huge ones as models, and as the texts that a model names."""

    commands = (
        ("info", "-m", "m.npz"),
        ("sample", "-n", 9, "-m", "m.npz"),
        ("sample", "-n", 9, "-m", "m.npz", "--no-copy", 9),
        ("eval", "a.txt", "-m", "m.npz"),
        ("eval", "-m", "m.npz"),
        ("eval", "a.txt", "--novelty", "-m", "m.npz"),
        ("train", *OPTIONS, "--steps", 9, "--resume", "-m", "m.npz"),
        ("train", "a.txt", *OPTIONS, "--steps", 2, "--init-from", "m.npz", "-m", "n.npz", "--force"),
    )

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        (folder / "a.txt").write_text(TEXT)
        assert ended(forked(folder, *TRAIN)) == 0
        self.model = (folder / "m.npz").read_bytes()
        self.things = [*SPECIAL]
        self.count = 2 * len(self.commands) * len(self.things)
        _, _, self.before = measured(forked(folder, "info", "-m", "m.npz", "-q"), SECONDS)

    def attempt(self, number: int) -> str:
        """Run a command; return a description if it waits, takes memory or fails in another way."""
        rest, command = divmod(number, len(self.commands))
        as_text, thing = divmod(rest, len(self.things))
        kind = self.things[thing]
        for name in ("m.npz", "thing", "n.npz"):
            (self.folder / name).unlink(missing_ok=True)
        SPECIAL[kind](self.folder / ("thing" if as_text else "m.npz"))
        if as_text:
            names = 2000 * ["thing"] if kind == "a text" else ["thing"]
            (self.folder / "m.npz").write_bytes(with_entry(self.model, "origin/sources", names))
        code, seconds, megabytes = measured(forked(self.folder, *self.commands[command], "-q"), SECONDS)
        self.note("seconds of the longest command", seconds)
        self.note("megabytes more than for a model", megabytes - self.before)
        said, what = (self.folder / "stderr").read_text("utf-8", "replace"), f"{kind}, {self.commands[command]}"
        if code not in (0, 1, 2) or "Traceback" in said or megabytes - self.before > MEGABYTES:
            return f"{what}: exit {code}, {seconds:.0f} s, {megabytes:.0f} MB: {said!r}"
        return ""


def sparse(path: Path, head: bytes = b"", tail: bytes = b"") -> None:
    """Make a file of four gigabytes that takes hardly any room on the disk."""
    with path.open("wb") as file:
        file.write(head)
        file.seek((4 << 30) - len(tail))
        file.write(tail or b"\0")


def listening(path: Path) -> None:
    """Make the file of a socket."""
    with socket.socket(socket.AF_UNIX) as server:
        here = os.getcwd()
        os.chdir(path.parent)  # a socket's path must be short
        server.bind(path.name)
        os.chdir(here)


SPECIAL: dict[str, Callable[[Path], object]] = {
    "a pipe": os.mkfifo,
    "endless zeros": lambda path: path.symlink_to("/dev/zero"),
    "endless noise": lambda path: path.symlink_to("/dev/urandom"),
    "a full device": lambda path: path.symlink_to("/dev/full"),
    "a terminal": lambda path: path.symlink_to("/dev/tty"),
    "a socket": listening,
    "four gigabytes of zeros": sparse,
    "an archive of four gigabytes": lambda path: sparse(path, b"PK\3\4", b"PK\5\6" + bytes(18)),
    "a directory of four gigabytes": lambda path: sparse(
        path, tail=b"PK\5\6" + bytes(4) + b"\1\0\1\0" + (0xF0000000).to_bytes(4, "little") + bytes(6)
    ),
    "a text": lambda path: path.write_text(TEXT),
    "nothing": lambda path: None,
}


class Owners(Experiment):
    """Locks and models of other users, and locks that live and stale processes hold, as root can make them."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        if os.geteuid():
            raise UnavailableError("only root can make files of other users")
        _, old, self.run = a_run()
        self.old, self.new = to_bytes(old), to_bytes(self.run)
        folder.chmod(0o755)
        self.home = folder / "home"
        self.store = CheckpointStore(self.home / "m.npz")
        self.cases = [self.stale, self.unreadable, self.held, self.sticky, self.kept, self.shared]
        self.count = 4 * len(self.cases)

    def attempt(self, number: int) -> str:
        """Make the files of one case anew and save as a user; return a description of a wrong end."""
        kind, case = divmod(number, len(self.cases))
        for path in self.home.iterdir() if self.home.exists() else ():
            path.unlink()
        self.home.mkdir(exist_ok=True)
        os.chown(self.home, ANOTHER, ANOTHER)
        self.home.chmod(0o755)
        self.store.path.write_bytes(self.old)
        self.mode = (0o600, 0o640, 0o644, 0o664)[kind]
        self.own(self.store.path, ANOTHER, self.mode)
        wrong = self.cases[case]()
        return f"{self.cases[case].__name__}, mode {self.mode:o}: {wrong}" if wrong else ""

    def own(self, path: Path, user: int, mode: int) -> None:
        """Give a file to a user."""
        os.chown(path, user, user)
        path.chmod(mode)

    def lock(self, mode: int) -> Path:
        """Make a lock of a third user."""
        lock = self.home / "m.npz.lock"
        lock.write_text("4242\n")
        self.own(lock, A_THIRD, mode)
        return lock

    def saved(self, user: int) -> str:
        """Lock and save in a process of a user; return the message of the error, or "saved"."""
        reader, writer = os.pipe()
        child = fork()
        if not child:
            become(user)
            try:
                with self.store.lock():
                    self.store.save(self.run)
                said = "saved"
            except BaseException as error:
                said = f"{type(error).__name__}: {error}"
            os.write(writer, said.encode())
            leave(0)
        os.close(writer)
        ended(child)
        with os.fdopen(reader) as file:
            return file.read()

    def stale(self) -> str:
        """A lock that a killed process of another user has left blocks nobody."""
        self.lock(0o644)
        said = self.saved(ANOTHER)
        left = sorted(os.listdir(self.home))
        return "" if (said, left) == ("saved", ["m.npz"]) else f"{said}, {left}"

    def unreadable(self) -> str:
        """A lock that cannot be read is reported with its owner, and the model stays."""
        self.lock(0o600)
        said = self.saved(ANOTHER)
        whole = self.store.path.read_bytes() == self.old
        return "" if f"belongs to user {A_THIRD} and cannot be read" in said and whole else said

    def held(self) -> str:
        """A lock that a process of another user holds is respected, and the user named."""
        import fcntl

        with self.lock(0o644).open() as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            said = self.saved(ANOTHER)
        whole = self.store.path.read_bytes() == self.old
        return "" if f"process 4242 of user {A_THIRD} is training" in said and whole else said

    def sticky(self) -> str:
        """Where a stale lock of another user cannot be removed, it is used all the same."""
        self.lock(0o644)
        os.chown(self.home, 0, 0)
        self.home.chmod(0o1777)
        said = self.saved(ANOTHER)
        return "" if said == "saved" else said

    def kept(self) -> str:
        """A model that root saves still belongs to its user."""
        said, found = self.saved(0), self.store.path.stat()
        kept = (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode))
        return "" if (said, kept) == ("saved", (ANOTHER, ANOTHER, self.mode)) else f"{said}, {kept}"

    def shared(self) -> str:
        """A model of another user in a folder of one's own is saved, and keeps its mode."""
        self.own(self.store.path, A_THIRD, self.mode)
        said, mode = self.saved(ANOTHER), stat.S_IMODE(self.store.path.stat().st_mode)
        return "" if (said, mode) == ("saved", self.mode) else f"{said}, {mode:o}"


def become(user: int) -> None:
    """Give up the rights of root for those of a user; root stays root."""
    signal.alarm(int(SECONDS))
    if user:
        os.setgroups([])
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)
