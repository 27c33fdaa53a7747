import pytest

from charrnn.training.timer import Timer


def test_a_timer_is_due_every_n_steps_or_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [step for step in range(1, 13) if Timer("4", "--save-every").due(step)] == [4, 8, 12]
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    timer = Timer("2m", "--save-every")
    due = {}
    for now[0] in (100.0, 219.0, 220.0, 300.0):
        due[now[0]] = timer.due(4)
    timer.restart()
    now[0] = 419.0
    assert due | {now[0]: timer.due(4)} == {100: False, 219: False, 220: True, 300: True, 419: False}
