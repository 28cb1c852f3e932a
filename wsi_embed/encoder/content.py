"""Detection of files that are named like a model and are something else."""

from __future__ import annotations

from pathlib import Path

from wsi_embed.errors import ModelError


def check_content(path: Path) -> None:
    """Check that a file is not what a failed download or an incomplete copy leaves.

    Raises:
        ModelError: If the file is empty, a Git LFS pointer or a web page.
    """
    with path.open("rb") as file:
        head = file.read(200).lstrip()
    if not head:
        raise ModelError("not a model that can be loaded (it is empty)", where=path)
    if head.startswith(b"version https://git-lfs"):
        raise ModelError(
            "a Git LFS pointer, not the model", where=path, remedy="fetch it with `git lfs pull`"
        )
    if head.startswith((b"<!", b"<html", b"<HTML", b"<?xml")):
        raise ModelError("a web page, saved in place of the model", where=path, remedy="download it again")
