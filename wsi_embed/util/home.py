"""Home folder of the user, which a process in a container may not have."""

from __future__ import annotations

from pathlib import Path


def home() -> Path | None:
    """Return the home folder; None without HOME if the user is in no table of users."""
    try:
        return Path.home()
    except (RuntimeError, KeyError):
        return None
