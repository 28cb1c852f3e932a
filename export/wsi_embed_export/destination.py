"""The file that an export writes: checked before the work, complete or absent after it."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from wsi_embed.encoder.onnx_external_files import external_files
from wsi_embed.errors import ModelError, UsageError, WsiEmbedError
from wsi_embed.util.atomic_files import TEMPORARY, replacing
from wsi_embed.util.text import argument
from wsi_embed_export.beside import data_file, rename_data

# Graph, metadata and tables of the file, besides the weights.
OVERHEAD = 2**20
# No space, quota exceeded, file too large, read-only and failing disks.
_DISK = ("ENOSPC", "EDQUOT", "EFBIG", "EROFS", "EIO")


def check_destination(out: Path) -> None:
    """Check that a file can be written; nothing is left behind.

    Args:
        out: File to write; its folder need not exist.

    Raises:
        UsageError: If `out` is a folder, or if its folder cannot be written or created.
    """
    if out.is_dir():
        raise UsageError("is a folder", where=argument("out", out), remedy="give the name of a file")
    try:
        with tempfile.TemporaryFile(dir=_existing(out)):
            pass
    except OSError as error:
        raise UsageError(
            f"cannot be written ({error.strerror})",
            where=argument("out", out),
            remedy="choose another folder",
        ) from error


def check_space(folder: Path, size: int) -> None:
    """Check that a file system has room for a file.

    Args:
        folder: Folder of the file, or where it will be created.
        size: Size of the file, bytes.

    Raises:
        WsiEmbedError: If there is too little space.
    """
    free, needed = shutil.disk_usage(_existing(folder / "file")).free, size + OVERHEAD
    if free < needed:
        raise WsiEmbedError(
            f"the export needs {_megabytes(needed)}, and {_megabytes(free)} are free; nothing was written",
            where=folder,
            remedy="make room, or choose another folder",
        )


@contextlib.contextmanager
def writing(out: Path) -> Iterator[Path]:
    """Yield a temporary path that replaces `out` when the block ends; after an error nothing is left behind.

    The same holds for weights beside it.

    Raises:
        WsiEmbedError: If a file cannot be written within the block, for example because the disk is full.
    """
    data = _data_of(out)
    missing = [folder for folder in (out.parent, *out.parent.parents) if not folder.exists()]
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with replacing(out) as temporary, _with_data(temporary, out):
            yield temporary
        if data is not None and _data_of(out) is None:
            data.unlink(missing_ok=True)  # the weights of the file that was replaced
    except BaseException as error:
        for folder in missing:
            with contextlib.suppress(OSError):
                folder.rmdir()
        if isinstance(error, WsiEmbedError):
            raise _named(error, out) from error
        cause = _disk_error(error)
        if cause is None:
            raise
        raise WsiEmbedError(
            f"cannot be written ({cause.strerror}); nothing was written",
            where=out,
            remedy="make room, or choose another folder",
        ) from error


@contextlib.contextmanager
def _with_data(temporary: Path, out: Path) -> Iterator[None]:
    """Give the weights beside a temporary file their name when the block ends; after an error remove them."""
    data = data_file(temporary)
    try:
        yield
        if data.exists():
            rename_data(temporary, data_file(out).name)
            os.replace(data, data_file(out))
    finally:
        with contextlib.suppress(OSError):
            data.unlink()


def _named(error: WsiEmbedError, out: Path) -> WsiEmbedError:
    """Return an error with the name of the file in place of that of the temporary one."""
    hidden = re.compile(TEMPORARY.pattern + re.escape(out.name))
    texts = {"what": error.what, "where": error.where, "remedy": error.remedy}
    return error.replace(**{key: text and hidden.sub(out.name, text) for key, text in texts.items()})


def _data_of(out: Path) -> Path | None:
    """Return the weights beside an ONNX file, if it exists and has them in a file of their own."""
    try:
        named = out.suffix == ".onnx" and out.is_file() and data_file(out).name in external_files(out)
    except ModelError:
        return None
    return data_file(out) if named else None


def _existing(out: Path) -> Path:
    """Return the nearest existing folder, or whatever is in its place, above a file."""
    return next(place for place in out.absolute().parents if os.path.lexists(place))


def _disk_error(error: BaseException | None) -> OSError | None:
    """Return the failure of the disk behind an error, which the exporters wrap in errors of their own."""
    while error is not None:
        if isinstance(error, OSError) and errno.errorcode.get(error.errno or 0) in _DISK:
            return error
        error = error.__cause__ or error.__context__
    return None


def _megabytes(size: int) -> str:
    return f"{size / 2**20:,.0f} MiB"
