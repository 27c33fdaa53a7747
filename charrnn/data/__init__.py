"""Texts as data: bytes -> characters -> ids on disk, and n-grams of ids."""
