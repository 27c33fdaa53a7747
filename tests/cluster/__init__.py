"""Ranks of MPI on several hosts, each a network namespace of this machine: see tests/cluster/__main__.py."""
