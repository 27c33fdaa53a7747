"""Signals as tests expect them, however the tests were started: under nohup or in the background of a shell."""

import signal

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def ignore_in_python() -> None:
    """Ignore by a handler what this process was started to ignore: programs that it starts do not inherit handlers.

    Signals that it was started to block are unblocked.
    """
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)
    for number in ENDING:
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, lambda number, frame: None)
