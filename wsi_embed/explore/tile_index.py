"""Index of features for an approximate search among very many tiles, with usearch."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from wsi_embed.errors import UsageError
from wsi_embed.explore.feature_table import FeatureTable, OnProgress
from wsi_embed.util.atomic_files import replacing
from wsi_embed.util.extras import needs_extra

# Number of tiles from which a search without an index takes longer than a second.
MANY = 1_000_000
FILE = "index.usearch"
# Neighbours of a tile in the graph, and candidates while it is built and searched (Malkov and Yashunin,
# "Efficient and robust approximate nearest neighbor search using hierarchical navigable small world graphs",
# TPAMI 42, 2020).
CONNECTIVITY, EXPANSION_ADD, EXPANSION_SEARCH = 16, 128, 256
# Candidates per tile that is wanted; their cosines are computed exactly.
CANDIDATES = 4


class TileIndex:
    """Graph of the features of a table, in a file beside them if they are in one.

    Args:
        table: Features of all tiles.
        on_progress: Function called with the number of blocks added, and the number of all blocks.

    Raises:
        MissingExtraError: If usearch is not installed.
        UsageError: If the file cannot be written.
    """

    def __init__(self, table: FeatureTable, on_progress: OnProgress | None = None) -> None:
        self._rows = len(table)
        with needs_extra("index", "an index of tiles"):
            from usearch.index import Index
        self._index = _opened(Index, table)
        if self._index is None:
            self._index = _built(Index, table, on_progress)

    def candidates(self, direction: npt.NDArray[np.float64], count: int) -> npt.NDArray[np.int64]:
        """Return rows that probably have the tiles most similar to a direction, sorted, int64.

        Args:
            direction: Direction of the search, float64 [D].
            count: Number of tiles that are wanted.
        """
        most = min(self._rows, CANDIDATES * count)
        found = self._index.search(direction.astype(np.float32), most)
        return np.sort(np.asarray(found.keys, np.int64))


def is_installed() -> bool:
    """Return whether usearch can be imported."""
    try:
        import usearch.index  # noqa: F401
    except ImportError:
        return False
    return True


def _opened(kind: Any, table: FeatureTable) -> Any:
    """Map the index of an earlier search; None if there is none, or it is damaged."""
    if table.folder is None or not (table.folder / FILE).is_file():
        return None
    try:
        found = kind.restore(str(table.folder / FILE), view=True)
    except Exception:  # usearch raises RuntimeError, ValueError and others for a damaged file
        return None
    if found is None or (len(found), found.ndim) != (len(table), table.features.shape[1]):
        return None
    found.expansion_search = EXPANSION_SEARCH
    return found


def _built(kind: Any, table: FeatureTable, on_progress: OnProgress | None) -> Any:
    """Build the index, and write it beside the features."""
    index = kind(
        ndim=table.features.shape[1],
        metric="cos",
        dtype="f16",
        connectivity=CONNECTIVITY,
        expansion_add=EXPANSION_ADD,
        expansion_search=EXPANSION_SEARCH,
    )
    blocks = list(table.blocks())
    for number, block in enumerate(blocks, start=1):
        # scaled to length 1, because half precision has no large numbers
        lengths = np.where(table.lengths[block] > 0, table.lengths[block], 1)
        index.add(np.arange(block.start, block.stop), table.features[block] / lengths[:, None])
        if on_progress:
            on_progress(number, len(blocks))
    if table.folder is not None:
        try:
            with replacing(table.folder / FILE) as part:
                index.save(str(part))
        except (OSError, RuntimeError) as error:
            raise UsageError(
                f"the index cannot be written ({error})",
                where=table.folder,
                remedy="give `cache=`, a folder with room for it",
            ) from error
    return index
