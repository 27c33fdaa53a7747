"""Regular expressions as constraints: a pattern is parsed and compiled to an automaton over the vocabulary."""
