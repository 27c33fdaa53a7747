"""Attempts to make the program lose something: `make test` makes some of them, `make torture` all.

An experiment is a class with a method `attempt(number)` that tries once and returns a description of the loss, or an
empty string. The tests and the long run use the same code with different counts. `sabotage` removes a protection, and
then an experiment must find a loss.
"""
