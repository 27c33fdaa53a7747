"""--grammar and --json-schema: samples that are texts of a context-free grammar."""
