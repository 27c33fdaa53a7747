import threading
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from charrnn.parallel import cores, products
from charrnn.parallel.products import each_within, library_call, single_threaded_products


def product_threads() -> set[int]:
    np.ones((2, 2)) @ np.ones((2, 2))
    return {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}


def test_products_use_one_thread_within_calls_and_as_many_as_before_after_the_last(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cores, "limit", 6)
    with threadpool_limits(2, "blas"):
        assert product_threads() == {2}
        with single_threaded_products():
            assert (product_threads(), cores.jobs_at_once()) == ({1}, 6)
            with single_threaded_products():
                assert product_threads() == {1}
            assert product_threads() == {1}
        assert product_threads() == {2}
        with pytest.raises(ZeroDivisionError), single_threaded_products():
            _ = 1 / 0
        assert product_threads() == {2}
    assert cores.product_threads is None


def test_calls_of_several_threads_may_end_in_any_order() -> None:
    first, second = threading.Event(), threading.Event()

    def call(mine: threading.Event) -> None:
        with single_threaded_products():
            mine.wait(60)

    with threadpool_limits(2, "blas"):
        threads = [threading.Thread(target=call, args=(event,)) for event in (first, second)]
        for thread in threads:
            thread.start()
        for thread, event in zip(threads, (first, second), strict=True):  # the one that limited them ends first
            event.set()
            thread.join()
        assert product_threads() == {2}


def test_without_threadpoolctl_nothing_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(*names: Any) -> None:
        raise ImportError

    products.matrix_libraries.cache_clear()
    with threadpool_limits(2, "blas"), monkeypatch.context() as without:
        without.setattr("builtins.__import__", lambda name, *rest: absent() if name == "threadpoolctl" else None)
        assert products.matrix_libraries() is None
    products.matrix_libraries.cache_clear()


def test_items_are_computed_within_a_context_and_received_outside_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cores, "limit", 6)
    seen, ended = list[int](), list[int]()

    def items() -> Generator[int, None, None]:
        try:
            for item in range(3):
                seen.append(cores.core_count())
                yield item
        finally:
            ended.append(cores.core_count())

    assert [(item, cores.core_count()) for item in each_within(lambda: library_call(4), items())] == [
        (0, 6),
        (1, 6),
        (2, 6),
    ]
    assert (seen, ended) == ([4, 4, 4], [4])
    left = each_within(lambda: library_call(8), items())
    assert (next(left), cores.core_count()) == (0, 6)
    del left
    assert (seen[3:], ended[1:]) == ([6], [6])  # there are no more


def test_the_cores_of_a_call_are_those_of_its_thread_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cores, "limit", 6)
    with library_call(2), ThreadPoolExecutor(1) as pool:
        assert (cores.core_count(), pool.submit(cores.core_count).result()) == (2, 6)
        with library_call(None):
            assert cores.core_count() == 6
    assert cores.core_count() == 6
