"""The command `charrnn`, also available as `python -m charrnn`."""

import signal


def main() -> None:
    """Run the command line. While it is being imported there is nothing to clean up, so Ctrl-C ends it immediately."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from charrnn.cli import main as run

    run()


if __name__ == "__main__":
    main()
