"""Grammars in the language of the lark package, which reads them; imported only here (extra grammar)."""

import json
import warnings
from collections import defaultdict
from pathlib import PurePath
from typing import TYPE_CHECKING

from charrnn.core.errors import UsageError
from charrnn.sampling.grammar.context_free import Alternative, Grammar, Rule, Symbol, Terminal

if TYPE_CHECKING:
    from lark.grammar import Symbol as LarkSymbol
    from lark.lexer import TerminalDef

NEEDS = "--grammar needs the lark package: pip install 'charrnn-numpy[grammar]'"


def lark_grammar(source: str, folder: PurePath) -> Grammar:
    """Return the grammar that is written in lark's language; `%import .name` reads from the folder.

    The start rule is `start`. Priorities of terminals and the shape of trees have no meaning here: a grammar is the set
    of its texts. Raises UsageError for a source that lark refuses.
    """
    try:
        from lark import Lark
    except ImportError as error:
        raise UsageError(NEEDS) from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the regex engine, on what may have another meaning in a future version
            read = Lark(source, parser="earley", lexer="dynamic", import_paths=[str(folder)])
    except Exception as error:  # lark's own errors, and those of the regex engine that it finds
        problem = str(error) if isinstance(error, OSError) else " ".join(map(str, error.args))
        raise UsageError(" ".join(problem.split())) from error
    terminals = {each.name: Terminal(shown(each), each.pattern.to_regexp()) for each in read.terminals}

    def symbol(found: "LarkSymbol") -> Symbol:
        return terminals[found.name] if found.is_term else Rule(found.name)

    rules: dict[Rule, list[Alternative]] = defaultdict(list)
    for rule in read.rules:
        rules[Rule(rule.origin.name)].append(tuple(map(symbol, rule.expansion)))
    return Grammar(rules, Rule("start"), [terminals[name] for name in read.ignore_tokens])


def shown(terminal: "TerminalDef") -> str:
    """Return what a message calls a terminal: its text, its name, or its pattern if lark made up the name."""
    pattern = terminal.pattern
    if pattern.type == "str":
        return json.dumps(pattern.value, ensure_ascii=False)
    return f"/{pattern.value}/" if terminal.name.startswith("__ANON") else terminal.name
