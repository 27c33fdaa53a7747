"""The command charrnn, and python -m charrnn."""

import signal


def main() -> None:
    """Run the command line. While it is being imported there is nothing to clear away, so a Ctrl-C ends all at once."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from charrnn.cli import main as run

    run()


if __name__ == "__main__":
    main()
