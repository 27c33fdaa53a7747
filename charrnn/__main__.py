"""The command `charrnn`, also available as `python -m charrnn`."""

import os
import signal
from types import FrameType


def leave(number: int, frame: FrameType | None) -> None:
    """Exit at once, as a shell reports a program that a signal has ended."""
    os._exit(128 + number)


def main() -> None:
    """Run the command line. While it is being imported there is nothing to clean up, so Ctrl-C ends it immediately.

    The first process of a container has to do that itself: the system does not end it by a signal.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, leave if os.getpid() == 1 else signal.SIG_DFL)
    from charrnn.cli import main as run

    run()


if __name__ == "__main__":
    main()
