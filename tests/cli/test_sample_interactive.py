"""Conversations on a terminal: what is written is what `charrnn sample` writes with the same seeds."""

import re
import signal
from pathlib import Path

import pytest

from tests.helpers.command import Conversation, charrnn, ok, on_terminal, refused

pytestmark = pytest.mark.usefixtures("model")

BAN = ("--ban", "\x1b\t")  # shown as symbols on a terminal
LINE = ("sample", "a", "--interactive", "--seed", 5, "-q", *BAN)
SHORT = (*LINE, "-n", 30)


def sampled(prompt: str, seed: int, *options: object) -> str:
    """What the command writes after a prompt, without the newline at its end."""
    return ok("sample", "a", "-p", prompt, "--no-echo", "--seed", seed, "-q", "-n", 30, *BAN, *options).text[:-1]


def visible_end(text: str) -> str:
    return text if text.endswith("\n") else f"{text}\n"


def test_a_typed_text_is_shown_in_bold_and_continued_and_enter_continues_further() -> None:
    first = sampled("3 größere", 5)
    second = sampled(f"3 größere{first}", 6)
    *_, end = f"3 größere{first}".split("\n")
    bold = f"\x1b[1m{end}\x1b[0m"
    with Conversation(*SHORT) as talk:
        talk.shown("> ")
        assert talk.says("3 größere") + "\n" == visible_end(f"\x1b[1m3 größere\x1b[0m{first}")
        assert talk.says("") + "\n" == visible_end(bold + second)
        other = talk.says("/retry") + "\n"
        assert other == visible_end(bold + sampled(f"3 größere{first}", 7)) != visible_end(bold + second)
        assert talk.says("/undo") == bold
        assert talk.says("") + "\n" == visible_end(bold + sampled(f"3 größere{first}", 8))
        assert talk.says("hen") + "\n" == visible_end(f"\x1b[1mhen\x1b[0m{sampled('hen', 9)}")
        assert talk.ended() == 0


def test_the_first_text_can_come_from_an_option_and_enter_alone_starts_from_nothing() -> None:
    with Conversation(*SHORT, "-p", "fox\nhen", env={"NO_COLOR": "1"}) as talk:
        assert talk.shown() + "\n" == visible_end("hen" + sampled("fox\nhen", 5))
    with Conversation(*SHORT, "--no-echo") as talk:
        talk.shown("> ")
        assert talk.says("") + "\n" == visible_end(sampled("", 5))
        assert talk.says("fox") + "\n" == visible_end(sampled("fox", 6))


def test_the_likeliest_next_characters_are_those_of_eval() -> None:
    rows = ok("eval", "-m", "a", "-q", "--next", 3, "-", input=b"3 gr").text.splitlines()
    with Conversation(*LINE, "-n", 0) as talk:
        talk.shown("> ")
        talk.says("3 gr")
        head, *shown = talk.says("/next 3").splitlines()
        assert head == "\x1b[1mbits     probability  rank  character\x1b[0m"
        assert [re.split(" {2,}", row)[:3] for row in shown] == [row.split("\t")[:3] for row in rows]
        assert len(talk.says("/next").splitlines()) == 6


def test_commands_and_their_errors_are_lines_and_the_conversation_continues() -> None:
    with Conversation(*SHORT, env={"NO_COLOR": "1"}) as talk:
        talk.shown("> ")
        assert talk.says("/temp") == "temperature 0.8"
        assert talk.says("/temp 0") == "temperature 0"
        greedy = sampled("fox", 1, "-t", 0)
        assert [talk.says("fox") + "\n", talk.says("/retry") + "\n"] == [visible_end("fox" + greedy)] * 2
        for line, error in {
            "/temp -1": "--temperature -1.0: must be 0 (greedy) or more, and finite",
            "/temp warm": "/temp warm: must be a number",
            "/next 0": "/next 0: must be a whole number, 1 or more",
            "/sing": "/sing: unknown; /help lists what there is, and //sing is a text",
            "fox ☃": "the model does not know U+2603 ☃: leave them out, or use --unknown skip",
            "//": "the model does not know U+002F /: leave them out, or use --unknown skip",
        }.items():
            assert talk.says(line) == error
        assert re.findall("^/[a-z]+", talk.says("/help"), re.MULTILINE) == [
            "/temp",
            "/retry",
            "/undo",
            "/next",
            "/help",
        ]
        assert talk.says("/undo") == "fox"
        assert talk.says("/undo") == "/undo: nothing has been written yet"


def test_ctrl_c_stops_the_text_and_discards_a_line() -> None:
    with Conversation(*LINE, "-n", -1) as talk:
        talk.shown("> ")
        talk.type("fox\n")
        talk.shown("hens")
        talk.type("\x03")
        before = talk.shown()
        talk.type("fo")
        talk.shown("fo")
        talk.interrupt()
        talk.shown()
        talk.type("\x1b[A\x01\x0b/next 1\n")  # the line before from the history, cleared again
        assert "probability" in talk.shown()
        assert talk.ended() == 0
    assert "^C" in before


def test_a_signal_ends_the_program_while_it_writes() -> None:
    with Conversation(*LINE, "-n", -1) as talk:
        talk.shown("> ")
        talk.type("fox\n")
        talk.shown("hens")
        talk.process.terminate()
        assert talk.ended() == -signal.SIGTERM


def test_enter_continues_after_the_text_that_stopped_the_last_part() -> None:
    stops = ("--stop", "\n", "--stop", "größere")
    with Conversation(*LINE, *stops) as talk:
        talk.shown("> ")
        text = "3 "
        for turn, bold in enumerate(("3 ", None, None)):
            shown = talk.says("3 " if bold else "")
            match = re.fullmatch("\x1b\\[1m(.*?)\x1b\\[0m(.*)", shown)
            assert match
            assert match[1] == text.split("\n")[-1]
            expected = sampled(text, 5 + turn, "-n", 1000, *stops)
            assert match[2] == expected
            whole = sampled(text, 5 + turn, "-n", 1000)
            text += expected + ("\n" if whole[len(expected)] == "\n" else "größere")


def test_patterns_and_grammars_apply_to_each_part() -> None:
    with Conversation(*LINE, "--regex", "[a-z]{3} fox", env={"NO_COLOR": "1"}) as talk:
        talk.shown("> ")
        first = talk.says("3 ")
        assert re.fullmatch("3 [a-z]{3} fox", first)
        assert re.fullmatch(f"{first}[a-z]{{3}} fox", talk.says(""))
    Path("g.lark").write_text('start: /[0-9]/ " hens" "."?')
    with Conversation(*LINE, "--grammar", "g.lark", env={"NO_COLOR": "1"}) as talk:
        talk.shown("> ")
        assert talk.says("fox").startswith("--grammar g.lark: no text begins with the first 1 characters")
        assert re.fullmatch(r"7 hens\.?", talk.says("7 h"))


@pytest.mark.parametrize(("options", "words"), [(["--count", 2], "--count"), (["--json"], "--json")])
def test_what_a_conversation_has_no_use_for_is_refused(options: list[object], words: str) -> None:
    with Conversation("sample", "-m", "a", "-i", *options, env={"NO_COLOR": "1"}) as talk:
        assert talk.shown(f"--interactive and {words}: give one of them\n") == "charrnn: "
        assert talk.process.wait(60) == 2


def test_without_a_terminal_it_is_refused_before_a_model_is_looked_for() -> None:
    refused(charrnn("sample", "nobody", "-i", input=b"fox\n"), 2, "--interactive", "--prompt-file -")
    assert on_terminal("sample", "nobody", "-i").code == 2
