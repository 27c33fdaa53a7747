"""Heat maps of texts, line plots and charts, for terminals, HTML and SVG; no script and no network."""
