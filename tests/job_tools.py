"""What the tests of jobs share: small jobs with real slides, a real model and the real command."""

from __future__ import annotations

import contextlib
import functools
import io
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import numpy.typing as npt
import pytest

from tests.made_models import tiny_onnx
from tests.made_slides import he_pixels, write_svs, write_tiff
from wsi_embed import Store, open_store
from wsi_embed.cli import main
from wsi_embed.store.structure import harmless

COMMAND = [sys.executable, "-m", "wsi_embed"]


def make_slides(folder: Path, count: int = 3, side: int = 600) -> Path:
    """A folder of real TIFF and SVS files, some in a subfolder."""
    (folder / "batch 2").mkdir(parents=True)
    for index in range(count):
        name = f"batch 2/s{index}.svs" if index % 2 else f"s{index}.tif"
        (folder / name).write_bytes(_slide(index, side))
    return folder


@functools.cache
def _slide(index: int, side: int) -> bytes:
    pixels = he_pixels(side, side + 100 * index, seed=index)
    write = write_svs if index % 2 else write_tiff
    with tempfile.TemporaryDirectory() as folder:
        return write(Path(folder) / "slide", pixels, mpp=0.5).read_bytes()


def make_model(folder: Path, **options: Any) -> Path:
    """A tiny model in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    return tiny_onnx(folder / "tiny.onnx", **options)


def run(
    *args: str | Path, env: dict[str, str] | None = None, **more: Any
) -> subprocess.CompletedProcess[str]:
    """Run the command line in a process of its own."""
    return subprocess.run(
        [*COMMAND, *map(str, args)],
        capture_output=True,
        text=True,
        env={**os.environ, **(env or {})},
        timeout=120,
        check=False,
        **more,
    )


def invoke(
    *args: str | Path, env: dict[str, str] | None = None, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the command line in this process: what `run` says and returns, without starting Python."""
    typed = ["wsi-embed", *map(str, args)]
    out, err, code = io.StringIO(), io.StringIO(), 0
    with (
        mock.patch.dict(os.environ, env or {}),
        mock.patch.object(sys, "argv", typed),
        contextlib.chdir(cwd or Path.cwd()),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            main()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
    return subprocess.CompletedProcess(typed, code, out.getvalue(), err.getvalue())


@contextlib.contextmanager
def no_room(size: int) -> Iterator[None]:
    """Within it no file may grow beyond `size` bytes: writes fail as on a full disk (EFBIG for ENOSPC).

    Python keeps nothing of what it compiles: it would not notice that it wrote only a part, and break later.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONDONTWRITEBYTECODE", "1")
        patch.setattr(sys, "dont_write_bytecode", True)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


_HOLD = """
import sys
from pathlib import Path
from wsi_embed.storage.lock import slide_lock
with slide_lock(Path(sys.argv[1]), sys.argv[2]) as mine:
    print(mine, flush=True)
    sys.stdin.read()
"""


def hold(document: Path, slide_id: str) -> subprocess.Popen[str]:
    """Another process that holds a slide until its input ends or it is killed."""
    process = subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(document), slide_id],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "True\n"
    return process


def arrays(store: Path | Store) -> dict[str, npt.NDArray[Any]]:
    """Every array of every complete slide, by `slide/array`."""
    opened = store if isinstance(store, Store) else open_store(store)
    names = ("features", "coords", "grid", "cluster", "cluster_confidence", "tissue_fraction", "tissue_mask")
    found = {}
    for slide_id, bag in opened.items():
        for name in names:
            array = getattr(bag, name)
            if array is not None:
                found[f"{slide_id}/{name}"] = array[:]
    return found


def assert_same_arrays(a: Path, b: Path) -> None:
    """Both stores hold the same slides with bit-identical arrays."""
    first, second = arrays(a), arrays(b)
    assert first.keys() == second.keys()
    for name, values in first.items():
        np.testing.assert_array_equal(values, second[name], err_msg=name)


def named(store: Path) -> dict[str, bytes]:
    """Its `tree` without temporary files of writes that were killed."""
    return {name: content for name, content in tree(store).items() if not harmless(name)}


def tree(store: Path) -> dict[str, bytes]:
    """Every file of a store by its path in it."""
    return {p.relative_to(store).as_posix(): p.read_bytes() for p in store.rglob("*") if p.is_file()}
