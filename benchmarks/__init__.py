"""Benchmark programs, run as `python -m benchmarks.NAME`. They limit NumPy's threads as the command line does."""

from charrnn.parallel.cores import limit_product_threads

limit_product_threads(1)
