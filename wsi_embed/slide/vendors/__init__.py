"""Checks of vendors' own metadata."""
