"""Helpers that are independent of slides: atomic files, text, memory, versions."""
