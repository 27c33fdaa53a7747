"""The rows of the table: which experiments there are, and how often each is made."""

from typing import NamedTuple

from tests.robustness.commands import Commands
from tests.robustness.damage import Damage
from tests.robustness.disks import FullDisks
from tests.robustness.experiment import Experiment
from tests.robustness.faults import Faults
from tests.robustness.fuzz import Loads
from tests.robustness.guided import Guided
from tests.robustness.kills import Kills, Signals
from tests.robustness.night import Night, Sampling, Trainers
from tests.robustness.power import PowerCuts
from tests.robustness.resumes import Resumes
from tests.robustness.strace import SystemCalls


class Row(NamedTuple):
    """An experiment: what is tried, what would be a loss, and attempts: of the short form, and of the long one."""

    what: str
    loss: str
    experiment: type[Experiment]
    short: int | None  # None: all that there are
    long: int | None


ROWS = {
    "kills": Row("`kill -9` at random moments of training", "lost, not resumable, or different", Kills, 5, 1000),
    "signals": Row("Ctrl-C or SIGTERM at random moments of training", "lost, or a wrong end", Signals, 6, 1000),
    "faults": Row(
        "every file operation of a save: ENOSPC, EIO, EACCES, SIGKILL, a flipped bit", "lost", Faults, None, None
    ),
    "system": Row("every system call of a save: the same but for the bit, by strace", "lost", SystemCalls, 0, None),
    "disks": Row("a disk that is full: of 1 page, of 2, …", "lost, or a wrong end", FullDisks, 0, None),
    "power": Row("every state of a disk after a power cut in a save", "lost", PowerCuts, None, None),
    "trainers": Row(
        "a second trainer; a third one after the first is killed", "let in, or locked out", Trainers, 2, 100
    ),
    "resumes": Row("runs of every kind, stopped twice, compared byte for byte", "different", Resumes, 12, 1000),
    "damage": Row(
        "every bit of a model flipped, and every truncation", "accepted wrongly, or another error", Damage, 1000, None
    ),
    "loads": Row("fuzzed models loaded", "another error, over 300 MB, or over 1 s", Loads, 1000, 1_000_000),
    "guided": Row(
        "20,000 inputs more that coverage has led to", "another error, over 300 MB, or over 2 s", Guided, 0, 50
    ),
    "commands": Row("fuzzed command lines and texts", "tracebacks, or a wrong end", Commands, 25, 10_000),
    "night": Row(
        "twenty short epochs more, with validations and saves",
        "grown by 1 MB, or a file or descriptor left",
        Night,
        4,
        200,
    ),
    "sampling": Row("100,000 characters more of endless sampling", "grown by 1 MB", Sampling, 0, None),
}
