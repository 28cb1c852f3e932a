"""Program that opens one slide with OpenSlide, reads a few pixels and ends.

    python open_apart.py LIBRARY SLIDE BYTES SECONDS READ_SECONDS

The last three are limits: memory, processor time to open it, and processor time to read.

OpenSlide ends the process on some malformed files, by a segmentation fault, an abort or for want of memory.
Here that is the end of this process only. It imports nothing but the standard library, to start quickly.
"""

from __future__ import annotations

import ctypes
import math
import sys
import time

# Side of the squares that are read, pixels.
SIDE = 64


def limit(memory: int, seconds: int) -> None:
    """Limit address space (bytes) and further processor time of this process, where the system can."""
    try:
        import resource
    except ImportError:
        return
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    end = math.ceil(time.process_time() + seconds)
    for kind, value in ((resource.RLIMIT_AS, memory), (resource.RLIMIT_CPU, end)):
        soft, hard = resource.getrlimit(kind)
        allowed = [bound for bound in (value, soft, hard) if bound != resource.RLIM_INFINITY]
        resource.setrlimit(kind, (min(allowed), hard))


def open_slide(library: str, slide: bytes, memory: int, seconds: int) -> None:
    """Open a slide and read a few pixels: the corner of its coarsest level, the middle of its finest.

    Errors that OpenSlide reports are for the caller's own opening.
    """
    lib = ctypes.CDLL(library)
    lib.openslide_open.argtypes, lib.openslide_open.restype = [ctypes.c_char_p], ctypes.c_void_p
    lib.openslide_get_error.argtypes, lib.openslide_get_error.restype = [ctypes.c_void_p], ctypes.c_char_p
    lib.openslide_get_level_count.argtypes = [ctypes.c_void_p]
    lib.openslide_read_region.argtypes = [
        ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_int32, ctypes.c_int64,
        ctypes.c_int64,
    ]  # fmt: skip
    size = (ctypes.c_int64 * 2)()
    lib.openslide_get_level0_dimensions.argtypes = [ctypes.c_void_p] * 3
    handle = lib.openslide_open(slide)
    if handle and lib.openslide_get_error(handle) is None:
        limit(memory, seconds)
        pixels = ctypes.create_string_buffer(4 * SIDE * SIDE)
        last = lib.openslide_get_level_count(handle) - 1
        lib.openslide_get_level0_dimensions(handle, size, ctypes.byref(size, ctypes.sizeof(ctypes.c_int64)))
        for level, x, y in ((last, 0, 0), (0, size[0] // 2, size[1] // 2)):
            lib.openslide_read_region(handle, pixels, x, y, level, SIDE, SIDE)


if __name__ == "__main__":
    most_memory, open_seconds, read_seconds = map(int, sys.argv[3:])
    limit(most_memory, open_seconds)
    path = sys.argv[2].encode(sys.getfilesystemencoding(), "surrogateescape")
    open_slide(sys.argv[1], path, most_memory, read_seconds)
