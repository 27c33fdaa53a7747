import os
import signal
from pathlib import Path

import pytest

from charrnn.checkpoint.store import CheckpointStore
from tests.helpers.command import NETWORK, TEXT, charrnn, closed_early, finish, ok, on_terminal, refused, start

pytestmark = pytest.mark.usefixtures("model")


def test_the_same_seed_writes_the_same_bytes_and_another_seed_other_bytes() -> None:
    first, second, other = (ok("sample", "-n", 80, "-q", "--seed", seed).out for seed in (5, 5, 6))
    assert first == second != other
    assert len(first.decode()) == 81
    assert first.endswith(b"\n")


def test_the_model_is_an_argument_or_an_option_and_named_once() -> None:
    line = ("sample", "-n", 30, "--seed", 1, "-q")
    assert ok(*line, "a").out == ok(*line, "-m", "a").out == ok(*line, "checkpoints/a.npz").out
    refused(charrnn(*line, "a", "-m", "b"), 2, "name the model once")


def test_a_missing_model_is_refused_with_the_names_of_those_that_exist(model: Path) -> None:
    for i in range(11):
        path = model.with_name(f"m{i}.npz")
        path.write_bytes(b"")
        os.utime(path, (i, i))
    refused(charrnn("sample", "nobody"), 1, "checkpoints/nobody.npz: no such model: checkpoints has a, m10, ", "m2, …;")


def test_a_random_seed_is_noted_and_can_be_used_again() -> None:
    first, second = ok("sample", "-n", 80, "-m", "a"), ok("sample", "-n", 80, "-m", "a")
    name, seed = first.err.removesuffix("\n").split(": ")
    assert (name, first.out == second.out) == ("seed", False)
    assert ok("sample", "-n", 80, "--seed", seed, "-q").out == first.out


def test_a_sample_is_the_same_for_any_count() -> None:
    line = ("sample", "-n", 30, "--seed", 2, "-q")
    records = ok(*line, "--count", 70, "--json").records
    assert [record["index"] for record in records] == [*range(70)]
    assert len({record["text"] for record in records}) > 60
    assert ok(*line, "--json").records == records[:1]
    assert ok(*line, "--count", 3, "--json").records == records[:3]
    assert ok(*line, "--count", 3).text == "".join(f"{record['text']}\n" for record in records[:3])


def test_the_samples_of_a_small_network_do_not_depend_on_the_number_of_cores() -> None:
    line = ("sample", "-n", 50, "--count", 20, "--seed", 1, "-q", "--threads")
    prelude = "import os; del os.environ['OPENBLAS_NUM_THREADS']"
    assert ok(*line, 1, prelude=prelude).out == ok(*line, 3, prelude=prelude).out


def test_the_prompt_is_continued_and_echoed_unless_no_echo_is_given() -> None:
    line = ("sample", "-n", 40, "-p", "größere fox", "--seed", 1, "-q")
    whole, rest, unprompted = (
        ok(*line).text,
        ok(*line, "--no-echo").text,
        ok("sample", "-n", 40, "--seed", 1, "-q").text,
    )
    assert whole == "größere fox" + rest
    assert len(rest) == len(unprompted) == 41
    assert rest != unprompted


def test_a_prompt_can_come_from_a_file_or_from_stdin() -> None:
    Path("p.txt").write_bytes(b"\xef\xbb\xbf3 gr\xc3\xb6\xc3\x9fere\r\nfox")
    line = ("sample", "-n", 20, "--seed", 1)
    typed = ok(*line, "-p", "3 größere\nfox", "-q").out
    results = [ok(*line, "--prompt-file", "p.txt"), ok(*line, "--prompt-file", "-", input=Path("p.txt").read_bytes())]
    assert [result.out for result in results] == [typed, typed]
    for name, result in zip(("p.txt", "-"), results, strict=True):
        notes = [f"{name}: dropped the byte-order mark", f"{name}: CR LF became LF"]
        assert result.err.splitlines() == ["model: checkpoints/a.npz", *notes]


@pytest.mark.parametrize(("options", "written"), [([], "\n"), (["-p", "fox", "--count", 2], "fox\nfox\n")])
def test_length_0_writes_only_the_prompts(options: list[object], written: str) -> None:
    assert ok("sample", "-n", 0, "-q", *options).text == written


def test_an_endless_sample_is_written_as_it_is_drawn_and_ends_with_its_reader() -> None:
    with start("sample", "-n", -1, "--seed", 3, "-q") as process:
        assert process.stdout
        beginning = process.stdout.read(500)
        assert closed_early(process).err == ""
    assert process.returncode == 0
    assert ok("sample", "-n", 600, "--seed", 3, "-q").out.startswith(beginning)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_endless_sample_is_ended_by_a_signal(number: signal.Signals) -> None:
    process = start("sample", "-n", -1, "-q")
    assert process.stdout
    process.stdout.read(1)
    process.send_signal(number)
    result = finish(process)
    assert (result.code, result.err) == (-number, "")


@pytest.mark.parametrize("prompt", ["", "4 größere fox"])
def test_the_loss_in_json_equals_that_of_eval(prompt: str) -> None:
    (record,) = ok("sample", "-n", 300, "--seed", 4, "-p", prompt, "--json", "-q").records
    assert record.keys() == {"index", "seed", "text", "nats_per_char", "finish", "model"}
    assert (record["seed"], record["finish"], record["model"]) == (4, "length", "checkpoints/a.npz")
    assert (len(record["text"]), record["text"].startswith(prompt)) == (300 + len(prompt), True)
    nats = 0.0
    for text, sign in ((record["text"], 1), (prompt, -1)):
        if text:
            (score,) = ok("eval", "-", "--json", input=text.encode()).records
            nats += sign * score["nats_per_char"] * score["chars"]
    assert record["nats_per_char"] == pytest.approx(nats / 300, rel=1e-6)


def test_the_loss_of_a_sample_does_not_depend_on_the_filters() -> None:
    line = ("sample", "-n", 200, "--seed", 4, "--json", "-q", "-t", 1.5, "--top-p", 0.9, "--ban", "x", "--stop", "7")
    for record in ok(*line, "--count", 2).records:
        (score,) = ok("eval", "-", "--json", input=record["text"].encode()).records
        assert record["nats_per_char"] == pytest.approx(score["nats_per_char"], rel=1e-5)


def test_an_empty_sample_has_no_loss_in_json() -> None:
    (record,) = ok("sample", "-n", 0, "-p", "fox", "--no-echo", "--json", "-q").records
    assert (record["text"], record["nats_per_char"]) == ("", None)


def test_unknown_characters_of_a_prompt_are_named_or_skipped() -> None:
    line = ("sample", "-n", 20, "--seed", 1, "-m", "a", "-p", "fox\u00e9s ☃")
    refused(charrnn(*line), 2, "U+00E9 é", "U+2603 ☃", "--unknown skip")
    skipped = ok(*line, "--unknown", "skip")
    assert skipped.text == ok("sample", "-n", 20, "--seed", 1, "-p", "foxs ").text
    assert skipped.err == "left out of the prompt: U+00E9 é, U+2603 ☃\n"


def test_a_prompt_that_is_not_unicode_is_refused_as_unknown() -> None:
    prompt = b"caf\xe9".decode(errors="surrogateescape")
    refused(charrnn("sample", "-q", "-p", prompt), 2, "U+DCE9")


@pytest.mark.parametrize("temperature", ["nan", "inf", "-1", "x"])
def test_a_temperature_out_of_range_is_refused(temperature: str) -> None:
    refused(charrnn("sample", f"--temperature={temperature}", "-m", "a"), 2, "--temperature")


@pytest.mark.parametrize(
    ("options", "same_as"),
    [
        (["--top-k", 1], ["-t", 0]),
        (["--top-p", 1e-9], ["-t", 0]),
        (["--min-p", 1], ["-t", 0]),
        (["--top-k", 999, "--top-p", 1, "--min-p", 0, "--only", TEXT, "--ban", ""], []),
    ],
)
def test_filters_at_the_ends_of_their_range_are_greedy_or_change_nothing(
    options: list[object], same_as: list[object]
) -> None:
    line = ("sample", "-n", 50, "--seed", 1, "-q")
    assert ok(*line, *options).out == ok(*line, *same_as).out


def test_each_filter_changes_the_sample() -> None:
    line = ("sample", "-n", 100, "--seed", 1, "-q", "-t", 2)
    filters: tuple[list[object], ...] = (
        [],
        ["--top-k", 3],
        ["--top-p", 0.5],
        ["--min-p", 0.3],
        ["--ban", "eo"],
        ["--only", "fox es\n"],
    )
    texts = [ok(*line, *options).text for options in filters]
    assert len(set(texts)) == len(texts)
    assert set(texts[4]).isdisjoint("eo")
    assert set(texts[5]) <= set("fox es\n")


def test_a_sample_ends_before_the_first_of_its_stops() -> None:
    line = ("sample", "-n", 300, "--seed", 1, "-q")
    whole = ok(*line).text
    early, late = whole[40:43], whole[70:72]
    stops = ("--stop", late, "--stop", "never", "--stop", early)
    at = min(whole.index(stop) for stop in (early, late))
    assert ok(*line, *stops).text == whole[:at] + "\n"
    (record,) = ok(*line, *stops, "--json").records
    assert (record["text"], record["finish"]) == (whole[:at], "stop")
    assert ok(*line, "--stop", "fox", "-p", "fox").text.startswith("fox")  # the stop is only in the prompt
    several = ok(*line, "--stop", "\n", "--count", 5).text
    assert several.count("\n") == 5


def test_a_stop_ends_a_sample_of_endless_length() -> None:
    line = ("sample", "-n", -1, "--seed", 1, "-q", "--stop", "es")
    assert ok(*line).text == ok("sample", "-n", 2000, *line[3:]).text
    assert {record["finish"] for record in ok(*line, "--count", 3, "--json").records} == {"stop"}


def test_a_stop_that_cannot_be_written_is_noted() -> None:
    line = ("sample", "-n", 20, "--seed", 1, "-m", "a")
    result = ok(*line, "--stop", "né\n")
    assert result.text == ok(*line).text
    assert result.err == "warning: --stop né␊: never written, because the model does not know U+00E9 é\n"
    assert ok(*line, "--stop", "né", "-q").err.startswith("warning: --stop né: never written")
    hint = "a newline is written $'\\n' in the shell"
    assert hint in ok(*line, "--stop", r"\n", "--stop", "e", "-q").err


def test_stdin_is_read_for_one_option_alone() -> None:
    line = ("sample", "-m", "a", "--prompt-file", "-", "--regex-file", "-")
    refused(charrnn(*line, input=b"a"), 2, "--prompt-file and --regex-file: only one of them can read stdin")


def test_an_endless_sample_whose_stop_cannot_be_written_is_refused() -> None:
    line = ("sample", "-n", -1, "--seed", 1, "-m", "a", "--stop", r"\n")
    refused(charrnn(*line), 2, r"--stop \n: never written", "$'\\n'", "would never end")
    assert ok(*line, "--stop", "e", "-q").text.count("e") == 0


def test_the_stop_variable_holds_one_text_with_its_blanks() -> None:
    line = ("sample", "-n", 300, "--seed", 1, "-q")
    assert ok(*line, env={"CHARRNN_STOP": "es than"}).out == ok(*line, "--stop", "es than").out
    assert ok(*line, env={"CHARRNN_STOP": "\n"}).out == ok(*line, "--stop", "\n").out
    assert ok(*line, "--stop", "h", env={"CHARRNN_STOP": "\n"}).out == ok(*line, "--stop", "h").out


def test_temperature_0_is_greedy_for_any_seed() -> None:
    greedy = ok("sample", "-t", 0, "--seed", 1, "-n", 50, "-q").out
    assert greedy == ok("sample", "-t", 0, "--seed", 2, "-n", 50, "-q").out
    assert greedy == ok("sample", "-t", 1e-300, "--seed", 2, "-n", 50, "-q").out
    assert greedy != ok("sample", "-t", 1, "--seed", 2, "-n", 50, "-q").out


@pytest.mark.parametrize(
    ("options", "name"),
    [
        (["-n", -2], "--length"),
        (["-n", 10**30], "--length"),
        (["--count", 0], "--count"),
        (["--seed", -1], "--seed"),
        (["-n", -1, "--count", 2], "--length -1"),
        (["-n", -1, "--json"], "--length -1"),
        (["-p", "a", "--prompt-file", "a.txt"], "--prompt-file"),
        (["--unknown", "guess"], "--unknown"),
        (["--top-k", 0], "--top-k"),
        (["--top-p", 0], "--top-p"),
        (["--top-p", "nan"], "--top-p"),
        (["--min-p", 1.1], "--min-p"),
        (["--stop", "a", "--stop", ""], "--stop"),
        (["--only", "fé"], "U+00E9 é"),
        (["--ban", "☃"], "U+2603 ☃"),
        (["--only", ""], "--only"),
        (["--only", "es", "--ban", "se"], "--ban"),
    ],
)
def test_options_out_of_range_are_refused(options: list[object], name: str) -> None:
    refused(charrnn("sample", "-m", "a", *options), 2, name)


@pytest.mark.parametrize(
    "env", [{"LC_ALL": "C"}, {"PYTHONIOENCODING": "ascii"}, {"PYTHONUTF8": "0", "LC_ALL": "POSIX"}]
)
def test_text_is_written_as_utf8_in_any_locale(env: dict[str, str]) -> None:
    assert ok("sample", "-n", 0, "--prompt-file", "a.txt", "-q", env=env).text == TEXT + "\n"
    (record,) = ok("sample", "-n", 0, "--prompt-file", "-", "--json", env=env, input="größer".encode()).records
    assert record["text"] == "größer"


def test_control_characters_are_raw_in_a_pipe_and_symbols_on_a_terminal() -> None:
    line = ("sample", "-n", 0, "-q", "-p", "\x1bfox\tes\n")
    assert ok(*line).text == "\x1bfox\tes\n\n"
    assert on_terminal(*line).text == "␛fox\tes\n\n"


def test_a_model_of_any_script_writes_only_characters_of_its_text() -> None:
    text = "".join(map(chr, range(0x4E00, 0x4E00 + 5000))) + "👩\u200d🚀e\u0301\u0302\U0001f1e9\U0001f1ea\n" * 200
    Path("b.txt").write_text(text)
    ok("train", "b.txt", *NETWORK, "--steps", 2, "-q")
    (record,) = ok("sample", "-m", "b", "-n", 300, "-p", "一👩\u200d🚀e\u0301", "-t", 3, "--json", "-q").records
    assert set(record["text"]) <= set(text)
    assert len(record["text"]) == 306
    (score,) = ok("eval", "-m", "b", "b.txt", "--json").records
    assert (score["chars"], score["unknown"]) == (len(text), 0)


def test_the_unknown_symbol_is_never_written() -> None:
    ok("train", "a.txt", *NETWORK, "--steps", 2, "--min-count", 200, "-m", "b", "-q")
    vocab = CheckpointStore(Path("checkpoints/b.npz")).load().vocab
    (record,) = ok("sample", "-m", "b", "-n", 500, "-t", 3, "-p", "☃", "--no-echo", "--json", "-q").records
    assert vocab.unknown
    assert set(record["text"]) == {chr(symbol) for symbol in vocab.symbols}
