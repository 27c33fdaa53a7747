import os
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
import pytest

from charrnn.cells import CELLS
from charrnn.config import Stream
from charrnn.errors import DivergedError, UsageError
from charrnn.model import CharRNN
from charrnn.ops import Ids
from charrnn.sampling import Piece, Wish, generate, lanes, sample_rng, writing
from charrnn.sampling import samples as pieces_of
from charrnn.sampling.filters import DIVERGED, chain, nats, pick
from charrnn.sampling.writing import WIDTH, Sample, in_order, lots
from charrnn.vocab import Vocab, codes_of
from tests.helpers.files import cell_settings
from tests.helpers.models import V, tiny_model

LETTERS = Vocab(codes_of("abcdefg"))
every_cell = pytest.mark.parametrize("cell", CELLS)


class Text(NamedTuple):
    text: str
    finish: str
    nats_per_char: float | None


def samples(model: CharRNN, count: int, seed: int = 5, prompt: Ids | None = None, **wish: Any) -> list[Text]:
    """Write samples, and put the pieces of each together."""
    texts, parts, cores = list[Text](), "", wish.pop("cores", 1)
    start = np.array([1, 2]) if prompt is None else prompt
    for piece in pieces_of(model, LETTERS, start, seed, count, Wish(**wish), cores):
        assert piece.sample == len(texts)
        parts += piece.text
        if piece.finish:
            texts.append(Text(parts, piece.finish, piece.nats_per_char))
            parts = ""
    assert parts == ""
    return texts


def naive_ids(model: CharRNN, prompt: Ids, rng: np.random.Generator, wish: dict[str, Any], length: int) -> list[int]:
    """Read the whole text anew for every character."""
    text: list[int] = prompt.tolist()
    for _ in range(length):
        logits, _ = model.forward(np.array(text)[:, None], model.zero_state(1), model.cache(len(text), 1))
        number = 0 if wish.get("temperature") == 0 else rng.random()
        text.append(int(pick(chain(wish)(logits[-1, :, 0].astype(np.float64)[None]), np.array([number]))[0]))
    return text[len(prompt) :]


def naive_sample(model: CharRNN, index: int, length: int, filters: dict[str, Any], stops: list[str]) -> Text:
    prompt = np.array([1, 2])
    ids = naive_ids(model, prompt, sample_rng(5, index), filters, length)
    text, finish = LETTERS.decode(ids), "length"
    for end in range(1, length + 1):
        sizes = [len(stop) for stop in stops if text[:end].endswith(stop)]
        if sizes:
            text, finish = text[: end - max(sizes)], "stop"
            break
    whole = np.array([*prompt, *ids])
    logits, _ = model.forward(whole[:-1, None], model.zero_state(1), model.cache(len(whole), 1))
    costs = nats(logits[1:, :, 0].astype(np.float64), whole[2:])[: len(text)]
    return Text(text, finish, costs.mean() if len(text) else None)


@pytest.mark.parametrize("burst", [1, 32])
@every_cell
def test_every_sample_equals_a_naive_one(cell: str, burst: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "WIDTH", 3)  # so that a lane has several samples
    monkeypatch.setattr(writing, "BURST", burst)
    monkeypatch.setattr(lanes, "AHEAD", 7)
    model = tiny_model(num_layers=2, zoneout=0.1, **cell_settings(cell))
    filters, stops = {"temperature": 1.3, "top_p": 0.97}, ["ab", "gcc", "de"]
    for length in (0, 1, 20):
        texts = samples(model, 11, length=length, filters=filters, stops=stops, scored=True)
        for index, text in enumerate(texts):
            text_, finish, cost = naive_sample(model, index, length, filters, stops)
            assert text == (text_, finish, cost if cost is None else pytest.approx(cost, rel=1e-12))
    assert {text.finish for text in texts} == {"stop", "length"}


@every_cell
def test_a_sample_is_the_same_to_the_last_bit_whatever_the_count(cell: str) -> None:
    model = tiny_model(dtype=np.float32, hidden_size=33, ensemble=2, **cell_settings(cell))
    wish: dict[str, Any] = {"length": 70, "stops": ["abc", "dd"], "scored": True}
    many = samples(model, 3 * WIDTH, **wish)
    assert len({text for text, *_ in many}) > 20
    for count in (1, 2, 3, WIDTH, WIDTH + 1, WIDTH + 2, 2 * WIDTH + 3):
        for cores in (1, 2, 3) if count > WIDTH else (2,):
            assert samples(model, count, **wish, cores=cores) == many[:count]  # their costs too, which show a bit


@pytest.mark.parametrize("hands", [1, 2, 3])
@pytest.mark.parametrize("count", [0, 1, 2, WIDTH + 1, 2 * WIDTH + 1, 500, 10_000])
def test_lots_are_whole_rounds_of_lanes(count: int, hands: int) -> None:
    parts = list(lots(count, hands))
    assert [i for part in parts for i in part] == list(range(count))
    assert [part.start for part in parts] == [0, *range(1, count, len(parts[1]) if len(parts) > 1 else 1)][: len(parts)]
    assert all((part.start - 1) % WIDTH == 0 and len(part) <= writing.LOT for part in parts[1:])


def test_lots_of_all_hands_are_written_and_no_worker_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_model()
    wish: dict[str, Any] = {"length": 9, "stops": ["a"]}
    monkeypatch.setattr(writing, "WIDTH", 2)
    monkeypatch.setattr(writing, "LOT", 4)
    alone = samples(model, 30, **wish)
    for cores in (2, 3, 50):
        assert samples(model, 30, **wish, cores=cores) == alone
    first = pieces_of(model, LETTERS, np.array([1]), 5, 30, Wish(length=9), 3)
    assert next(first).sample == 0
    first.close()  # type: ignore[attr-defined]  # a generator
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def test_what_a_worker_finds_wrong_is_told() -> None:
    model = tiny_model()
    model.params["head.b_y"][:] = np.nan
    with pytest.raises(DivergedError):
        samples(model, 40, cores=2)


def test_a_sample_depends_on_seed_and_index_alone() -> None:
    first = {(seed, index): sample_rng(seed, index).random() for seed in (0, 1, 2**63 - 1) for index in (0, 1, 2)}
    assert len(set(first.values())) == len(first)
    assert all(sample_rng(*key).random() == number for key, number in reversed(first.items()))
    assert np.random.default_rng([0, 0, Stream.INIT]).random() not in first.values()


def test_samples_come_in_their_order_and_the_first_one_as_it_is_written() -> None:
    model = tiny_model()
    pieces = pieces_of(model, LETTERS, np.array([1]), 1, 3, Wish(length=None))
    assert {piece.sample for piece in islice(pieces, 5)} == {0}
    done: Any = "length"
    mixed = [Piece(1, "d", done), Piece(0, "a"), Piece(2, "e"), Piece(0, "b"), Piece(0, "c", done), Piece(2, "f", done)]
    given = iter(mixed)
    ordered = in_order(given)
    assert next(ordered) == Piece(0, "a")
    assert next(given) == Piece(2, "e")  # it had asked for no more than it could hand on
    assert "".join(piece.text for piece in in_order(iter(mixed))) == "abcdef"


def test_a_slow_model_hands_on_what_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_model()
    whole = samples(model, 2, length=50)
    monkeypatch.setattr(lanes, "BURST_SECONDS", -1.0)
    pieces = list(pieces_of(model, LETTERS, np.array([1, 2]), 5, 1, Wish(length=50)))
    assert [len(piece.text) for piece in pieces] == [1] * 50
    assert samples(model, 2, length=50) == whole


def test_no_characters_or_no_scores_have_no_mean() -> None:
    model = tiny_model()
    assert samples(model, 2, length=0, scored=True) == [Text("", "length", None)] * 2
    assert samples(model, 1, length=3)[0].nats_per_char is None


@pytest.mark.parametrize("wish", [{"filters": {"top_p": 0}}, {"stops": [""]}])
def test_a_wish_that_makes_no_sense_is_refused(wish: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="--"):
        Wish(**wish)


# ---- a stream without end ----


@pytest.mark.parametrize("prompt_length", [1, 5, 300])
@pytest.mark.parametrize("wish", [{"temperature": 0}, {"temperature": 0.9}, {"top_k": 2, "temperature": 2}])
def test_each_character_follows_from_the_whole_text_before(prompt_length: int, wish: dict[str, Any]) -> None:
    model, prompt = tiny_model(num_layers=2), np.random.default_rng(7).integers(0, V, prompt_length)
    drawn = generate(model, prompt, sample_rng(8, 0), wish)
    assert list(islice(drawn, 12)) == naive_ids(model, prompt, sample_rng(8, 0), wish, 12)


def test_numbers_drawn_ahead_are_those_drawn_one_by_one() -> None:
    model, length = tiny_model(hidden_size=2), lanes.AHEAD + 20
    drawn = generate(model, np.array([1]), sample_rng(8, 1), {})
    rng, text = sample_rng(8, 1), list(islice(drawn, length))
    logits, _ = model.forward(np.array([1, *text])[:-1, None], model.zero_state(1), model.cache(length, 1))
    assert text == [int(pick(chain({})(row[None]), np.array([rng.random()]))[0]) for row in logits[:, :, 0]]


def test_temperature_0_draws_no_number() -> None:
    rng = np.random.default_rng(5)
    before = rng.bit_generator.state
    list(islice(generate(tiny_model(), np.array([1]), rng, {"temperature": 0}), 300))
    assert rng.bit_generator.state == before
    list(islice(generate(tiny_model(), np.array([1]), rng, {}), 1))
    assert rng.bit_generator.state != before


def test_banned_characters_never_come() -> None:
    model, allowed = tiny_model(), np.arange(V) % 3 > 0
    free = set(islice(generate(model, np.array([1]), sample_rng(9, 0), {"temperature": 3}), 300))
    wish = {"temperature": 3, "allowed": allowed}
    bound = set(islice(generate(model, np.array([1]), sample_rng(9, 0), wish), 300))
    assert (free, bound) == ({*range(V)}, {1, 2, 4, 5})


# ---- models that have diverged ----


@pytest.mark.parametrize("temperature", [0, 1])
@pytest.mark.parametrize("weight", [np.nan, np.inf, 3e38])
def test_logits_that_are_not_finite_stop_with_a_clear_error(weight: float, temperature: float) -> None:
    model = tiny_model(dtype=np.float32, activation="relu")
    model.vector[:] = weight
    with pytest.raises(DivergedError, match=r"diverged.*--lr"):
        next(generate(model, np.array([1, 2]), sample_rng(1, 0), {"temperature": temperature}))
    with pytest.raises(DivergedError, match=r"diverged.*--lr"):
        samples(model, 2, filters={"temperature": temperature})


def test_what_a_lane_computes_after_the_end_of_its_sample_is_nobodys_concern() -> None:
    costs = np.zeros(0)
    assert Sample(0, Wish(length=2), LETTERS).take([0, 1, DIVERGED], costs) == Piece(0, "ab", "length")
    assert Sample(0, Wish(stops=["b"]), LETTERS).take([0, 1, DIVERGED], costs) == Piece(0, "a", "stop")
    with pytest.raises(DivergedError):
        Sample(0, Wish(stops=["bb"]), LETTERS).take([0, 1, DIVERGED], costs)
