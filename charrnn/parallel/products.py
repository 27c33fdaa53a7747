"""One thread per matrix product within a call of the library, where the program around it uses NumPy as it likes.

The products of a character are small: threads that share one wait for each other longer than they compute.
"""

import os
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import cache
from typing import Any, TypeVar

from charrnn.parallel import cores

Item = TypeVar("Item")
Result = TypeVar("Result")
lock = threading.Lock()
calls = 0  # that are within single_threaded_products now
limiter: Callable[[], object] = bool  # restores what the first of them has limited


@cache
def matrix_libraries() -> Any:
    """Return threadpoolctl's view of the matrix libraries that are loaded, None if it is not installed."""
    try:
        from threadpoolctl import ThreadpoolController
    except ImportError:
        return None
    return ThreadpoolController()


def each_within(
    context: Callable[[], AbstractContextManager[object]], items: Generator[Item, None, None]
) -> Iterator[Item]:
    """Yield items, none of them None, each computed within a new context: who receives them is outside of it."""
    try:
        while True:
            with context():
                item = next(items, None)
            if item is None:
                return
            yield item
    finally:
        with context():
            items.close()


@contextmanager
def library_call(threads: int | None) -> Iterator[None]:
    """Use at most `threads` cores within the context, all if None, and one for each product as below.

    The limit is that of this thread alone, so that calls in other threads keep theirs.
    """
    token = cores.limit_of_call.set(threads and min(threads, cores.core_count()))
    try:
        with single_threaded_products():
            yield
    finally:
        cores.limit_of_call.reset(token)


@contextmanager
def single_threaded_products() -> Iterator[None]:
    """Compute each product within the context with one thread, if the package threadpoolctl is installed.

    The number of threads is one of the whole process: of several calls at the same time the first changes it, and the
    last one restores it.
    """
    if matrix_libraries() is None:
        yield
        return
    enter()
    try:
        yield
    finally:
        leave()


def enter() -> None:
    """Count a call; the first limits the threads."""
    global calls, limiter
    with lock:
        calls += 1
        if calls == 1:
            limiter = limited()
            cores.product_threads = 1


def leave() -> None:
    """Count the end of a call; the last one restores the threads."""
    global calls
    with lock:
        calls -= 1
        if not calls:
            limiter()
            cores.product_threads = None


# ---- the thread that sets the number ----


@cache
def setter() -> list[cores.Helper]:
    """Return the thread that sets the number of threads, none where the system does not let it start."""
    with suppress(RuntimeError):
        return [cores.Helper()]
    return []


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=setter.cache_clear)  # the threads of a process do not survive its fork


def limited() -> Callable[[], object]:
    """Let each product use one thread; return what restores the number before.

    A program that has set a number itself, through threadpoolctl, can only be served in the thread that did it.
    """
    libraries = matrix_libraries().select(user_api="blas")
    found = in_setter(lambda: libraries.limit(limits=1))
    if all(library["num_threads"] == 1 for library in libraries.info()):
        return lambda: in_setter(found.restore_original_limits)
    restore: Callable[[], object] = libraries.limit(limits=1).restore_original_limits
    return restore


def in_setter(function: Callable[[], Result]) -> Result:
    """Call a function in one thread, always the same: threadpoolctl obeys the first thread that sets a number alone."""
    for helper in setter():
        call = cores.Call(function)
        helper.calls.put(call)
        call.ended.acquire()
        if call.error is not None:
            raise call.error
        return call.result
    return function()
