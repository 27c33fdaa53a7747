"""Programs that measure, each alone: `python -m benchmarks.NAME`. They prepare numpy as the command line does."""

from charrnn import threads

threads.prepare()
