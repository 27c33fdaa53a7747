"""Attempts to make the program lose something: `make test` makes some of them, `make torture` all.

An experiment is a class whose `attempt(number)` tries once and says what was lost, or nothing. The tests and the long
run are the same code with other counts; `sabotage` takes a protection out, and then an experiment must find a loss.
"""
