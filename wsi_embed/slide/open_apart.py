"""Program that opens one slide with OpenSlide and ends: `python open_apart.py LIBRARY SLIDE BYTES SECONDS`.

OpenSlide ends the process on some malformed files, by a segmentation fault, an abort or for want of memory.
Here that is the end of this process only. It imports nothing but the standard library, to start quickly.
"""

from __future__ import annotations

import ctypes
import sys

# Side of the square that is read of the coarsest level, pixels.
SIDE = 64


def limit(memory: int, seconds: int) -> None:
    """Limit memory (address space, bytes) and processor time of this process, where the system can."""
    try:
        import resource
    except ImportError:
        return
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for kind, value in ((resource.RLIMIT_AS, memory), (resource.RLIMIT_CPU, seconds)):
        soft, hard = resource.getrlimit(kind)
        allowed = [bound for bound in (value, soft, hard) if bound != resource.RLIM_INFINITY]
        resource.setrlimit(kind, (min(allowed), hard))


def open_slide(library: str, slide: bytes) -> None:
    """Open a slide and read a few pixels. Errors that OpenSlide reports are for the caller's own opening."""
    lib = ctypes.CDLL(library)
    lib.openslide_open.argtypes, lib.openslide_open.restype = [ctypes.c_char_p], ctypes.c_void_p
    lib.openslide_get_error.argtypes, lib.openslide_get_error.restype = [ctypes.c_void_p], ctypes.c_char_p
    lib.openslide_get_level_count.argtypes = [ctypes.c_void_p]
    lib.openslide_read_region.argtypes = [
        ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_int32, ctypes.c_int64,
        ctypes.c_int64,
    ]  # fmt: skip
    handle = lib.openslide_open(slide)
    if handle and lib.openslide_get_error(handle) is None:
        pixels = ctypes.create_string_buffer(4 * SIDE * SIDE)
        last = lib.openslide_get_level_count(handle) - 1
        lib.openslide_read_region(handle, pixels, 0, 0, last, SIDE, SIDE)


if __name__ == "__main__":
    limit(int(sys.argv[3]), int(sys.argv[4]))
    open_slide(sys.argv[1], sys.argv[2].encode(sys.getfilesystemencoding(), "surrogateescape"))
