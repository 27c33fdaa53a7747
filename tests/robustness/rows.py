"""The rows of the table: the experiments, their numbers of attempts, and the protections that each one checks."""

from typing import NamedTuple

from tests.robustness.commands import Commands
from tests.robustness.damage import Damage
from tests.robustness.disks import FullDisks
from tests.robustness.experiment import Experiment
from tests.robustness.faults import Faults
from tests.robustness.fuzz import Loads
from tests.robustness.guided import Guided
from tests.robustness.hostile import Headers, Strings
from tests.robustness.kills import Kills, Signals
from tests.robustness.night import Night, Sampling, Scoring, Trainers
from tests.robustness.power import PowerCuts
from tests.robustness.resumes import Resumes
from tests.robustness.starts import Starts
from tests.robustness.strace import SystemCalls
from tests.robustness.strangers import Links, Owners, SpecialFiles


class Row(NamedTuple):
    """An experiment and how to run it."""

    what: str  # what is tried
    loss: str  # what counts as a loss
    experiment: type[Experiment]
    short: int | None  # attempts of the short form; None is all
    long: int | None  # attempts of the long form
    without: tuple[str, ...]  # protections in SABOTAGE: without one it must find a loss
    minutes: float = 1.0  # of one core for the long form, approximately: the longest start first


ROWS = {
    "kills": Row(
        "`kill -9` at random moments of training",
        "lost, not resumable, or different",
        Kills,
        5,
        1000,
        ("rename",),
        minutes=6,
    ),
    "signals": Row(
        "Ctrl-C or SIGTERM at random moments of training", "lost, or a wrong end", Signals, 6, 1000, ("order",)
    ),
    "starts": Row(
        "Ctrl-C or SIGTERM at the import of each module of `charrnn train`",
        "a traceback, or a wrong end",
        Starts,
        6,
        None,
        ("entry",),
    ),
    "faults": Row(
        "every file operation of a save: ENOSPC, EIO, EACCES, SIGKILL, a flipped bit",
        "lost",
        Faults,
        None,
        None,
        ("verification", "rename"),
    ),
    "system": Row(
        "every system call of a save: the same except the bit, with strace", "lost", SystemCalls, 0, None, ("fsync",)
    ),
    "disks": Row("full disks: of 1 page, of 2, …", "lost, or a wrong end", FullDisks, 0, None, ("rename",)),
    "power": Row(
        "every state of a disk after a power cut in a save", "lost", PowerCuts, None, None, ("fsync", "folder-fsync")
    ),
    "trainers": Row(
        "a second run on a model; a third one after the first is killed",
        "not refused, or refused wrongly",
        Trainers,
        2,
        100,
        ("lock",),
    ),
    "resumes": Row(
        "runs of every kind, stopped twice, compared byte for byte", "different", Resumes, 12, 1000, ("streams",)
    ),
    "damage": Row(
        "every bit of a model flipped, and every truncation",
        "accepted wrongly, or another error",
        Damage,
        1000,
        None,
        ("checksums",),
    ),
    "loads": Row(
        "fuzzed models loaded",
        "another error, over 300 MB, or over 1 s",
        Loads,
        1000,
        1_000_000,
        ("pickle-ban", "errors"),
        minutes=12,
    ),
    "guided": Row(
        "20,000 more inputs from a coverage-guided fuzzer",
        "another error, over 300 MB, or over 2 s",
        Guided,
        0,
        20,
        ("errors",),
        minutes=5,
    ),
    "commands": Row(
        "fuzzed command lines and texts",
        "tracebacks, or a wrong end",
        Commands,
        25,
        10_000,
        ("one-line",),
        minutes=13,
    ),
    "night": Row(
        "twenty more short epochs, with validations and saves",
        "growth of 1 MB, or a file or descriptor left",
        Night,
        4,
        400,
        ("memory",),
        minutes=2,
    ),
    "sampling": Row("100,000 more characters of endless sampling", "growth of 1 MB", Sampling, 0, None, ("memory",), 4),
    "scoring": Row("10,000 more lines of endless scoring", "growth of 1 MB", Scoring, 0, None, ("memory",), 3),
    "links": Row(
        "links, pipes and folders where files are created, then a command",
        "written through, or a wrong end",
        Links,
        20,
        2000,
        ("links",),
        minutes=4,
    ),
    "special": Row(
        "devices, pipes and huge files as models, and as the texts of models",
        "over 20 s, over 300 MB, or a wrong end",
        SpecialFiles,
        24,
        None,
        ("regular",),
        minutes=1,
    ),
    "owners": Row(
        "locks and models of other users, as root",
        "blocked, not respected, or taken away",
        Owners,
        0,
        None,
        ("owners",),
    ),
    "strings": Row(
        "models with hostile names and settings, then a command",
        "a traceback, a forged line, a control character, or no end",
        Strings,
        25,
        10_000,
        ("one-line-names",),
        minutes=13,
    ),
    "headers": Row(
        "models with headers by their grammar loaded",
        "another error, over 300 MB, or over 1 s",
        Headers,
        1000,
        1_000_000,
        ("header-form",),
        minutes=8,
    ),
}
