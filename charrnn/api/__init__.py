"""The Python interface. `import charrnn` offers its names; docs/library.md shows them at work."""
