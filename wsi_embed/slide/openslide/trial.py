"""Trial opening of slides on which OpenSlide may end the process."""

from __future__ import annotations

import functools
import signal
import subprocess
import sys
from pathlib import Path

from openslide import lowlevel

from wsi_embed.errors import SlideError
from wsi_embed.slide.openslide import open_apart

# Of the trial: MIRAX indices of the largest slides take some hundred megabytes and a few seconds.
MEMORY, SECONDS = 4 * 2**30, 20
READ_SECONDS = 3  # for a few images


def check_opens(path: Path) -> None:
    """Open a slide with OpenSlide in a process of its own first; once for an unchanged file.

    Args:
        path: Slide file.

    Raises:
        SlideError: If the process is ended by the file, or does not end in time.
        OSError: If the file cannot be read.
    """
    state = path.stat()
    if reason := _fault(path, state.st_size, state.st_mtime_ns):
        raise SlideError(reason, where=path, remedy="is it complete? copy it again, or leave it out")


# Least exit status of a process that Windows ended.
CRASHED = 0xC0000000


@functools.lru_cache(maxsize=1024)
def _fault(path: Path, size: int, modified: int) -> str | None:
    """Return why OpenSlide cannot open a version of a file, or None if the trial ended by itself."""
    command = [sys.executable, "-I", "-S", open_apart.__file__, lowlevel._lib._name, str(path)]
    try:
        done = subprocess.run(
            [*command, str(MEMORY), str(SECONDS), str(READ_SECONDS)], capture_output=True,
            timeout=3 * SECONDS, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return f"OpenSlide does not open it within {3 * SECONDS} s"
    except OSError:  # no process can be started here, so the file is not tried
        return None
    if 0 <= done.returncode < CRASHED:
        return None
    if done.returncode > 0:
        ending = f"status {done.returncode:#x}"
    elif (ending := signal.Signals(-done.returncode).name) == "SIGXCPU":
        return (
            f"OpenSlide does not open it within {SECONDS} s of processor time, or read a few pixels within "
            f"{READ_SECONDS} s"
        )
    return (
        f"the file is malformed: opening it ends OpenSlide ({ending}, with {MEMORY // 2**30} GiB of memory)"
    )
