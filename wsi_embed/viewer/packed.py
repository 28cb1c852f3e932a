"""Columns of numbers as bytes, which the page reads into typed arrays without parsing.

A document is: length of the header (uint32), header (JSON), columns. All numbers are little-endian. The
header lists `name`, `type`, `start` and `length` of each column; starts count from the end of the header, and
are multiples of four.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from starlette.responses import Response

from wsi_embed.util.json_text import json_text

TYPES = ("int8", "uint8", "int16", "uint16", "int32", "uint32", "float32")


def pack(columns: Mapping[str, npt.NDArray[Any]], facts: Mapping[str, Any] | None = None) -> bytes:
    """Pack columns and further facts into a document.

    Args:
        columns: Arrays by name, of a type in `TYPES`; two-dimensional ones are flattened, row by row.
        facts: Further JSON values of the header.
    """
    listed, parts, start = [], [], 0
    for name, values in columns.items():
        assert values.dtype.name in TYPES, values.dtype
        data = np.ascontiguousarray(values).astype(values.dtype.newbyteorder("<")).tobytes()
        listed.append({"name": name, "type": values.dtype.name, "start": start, "length": values.size})
        parts.append(data + bytes(-len(data) % 4))
        start += len(parts[-1])
    header = json_text({**(facts or {}), "columns": listed}).encode()
    header += b" " * (-len(header) % 4)
    return b"".join([len(header).to_bytes(4, "little"), header, *parts])


def packed_response(
    columns: Mapping[str, npt.NDArray[Any]], facts: Mapping[str, Any] | None = None
) -> Response:
    """Return a response with packed columns; see `pack`."""
    body = pack(columns, facts)
    return Response(body, 200, {"cache-control": "no-store"}, media_type="application/octet-stream")
