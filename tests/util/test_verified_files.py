from __future__ import annotations

import errno
import zlib
from pathlib import Path

import numpy as np
import pytest

from wsi_embed.util.verified_files import verified


def test_a_file_holds_what_was_written_and_its_checksum(tmp_path: Path) -> None:
    numbers = np.arange(7, dtype=np.float64)
    with verified(tmp_path / "a.bin") as file:
        assert file.write(b"head") == 4
        assert file.write(numbers.data) == 56
    content = (tmp_path / "a.bin").read_bytes()
    assert content == b"head" + numbers.tobytes()
    assert file.crc == zlib.crc32(content)


@pytest.mark.parametrize("there", [b"012345678X", b"012345678"])
def test_a_file_that_holds_something_else_is_an_error(tmp_path: Path, there: bytes) -> None:
    def write(path: Path) -> None:
        with verified(path) as file:
            file.write(b"0123456789")
            file.flush()
            path.write_bytes(there)  # as a disk that loses a write

    with pytest.raises(OSError, match="does not hold what was written") as found:
        write(tmp_path / "a.bin")
    assert found.value.errno == errno.EIO
