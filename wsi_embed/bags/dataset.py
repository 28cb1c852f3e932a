"""Map-style PyTorch data set of bags, for multiple-instance learning."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from wsi_embed.bags.bag import Bag
from wsi_embed.bags.geometry import lattice
from wsi_embed.bags.patient import PatientBag
from wsi_embed.bags.source import BagSource
from wsi_embed.errors import StoreError, UsageError
from wsi_embed.util.extras import needs_extra
from wsi_embed.util.seed import check_seed
from wsi_embed.util.text import argument

if TYPE_CHECKING:
    import torch

    from wsi_embed.bags.labels import By, LabelledBags

Style = Literal["plain", "torchmil"]
Rows = npt.NDArray[np.int64] | slice


class BagDataset:
    """PyTorch data set with one bag per item, for `torch.utils.data.DataLoader`. See `Store.torch_dataset`.

    It can be pickled: each worker process opens the store itself. Bags differ in size, so use
    `batch_size=None`, or a collate function that pads (torchmil's, with `style="torchmil"`).

    Args:
        store: Store of the bags.
        bags: Slide ids of each bag, by bag id.
        labels: Labels of these bags, in the same order; None without labels.
        by: Whether a bag is a slide or a patient.
        max_tiles: Number of tiles to draw from larger bags, anew in each epoch (`set_epoch`).
        seed: Seed of the draw.
        style: Keys of an item; see `__getitem__`.
        adjacency: Whether items of style `torchmil` have the key `adj`, which torchmil's graph models need.

    Attributes:
        ids: Ids of the bags.
        targets: Class index of each bag, int64 [n]; None without labels.
        classes: Names of the classes.
        feature_dim: Number of features per tile.

    Raises:
        UsageError: If an argument is invalid.
        MissingExtraError: If the extra `mil` is not installed.

    Example:
        >>> import wsi_embed
        >>> bags = wsi_embed.open_store("feats.zarr").torch_dataset()
        >>> bags[0]["features"].shape[1] == bags.feature_dim
        True
    """

    def __init__(
        self,
        store: BagSource,
        bags: Mapping[str, tuple[str, ...]],
        labels: LabelledBags | None = None,
        *,
        by: By = "slide",
        max_tiles: int | None = None,
        seed: int = 0,
        style: Style = "plain",
        adjacency: bool = False,
    ) -> None:
        if style not in ("plain", "torchmil"):
            raise UsageError("choose plain or torchmil", where=argument("style", style))
        if max_tiles is not None and max_tiles < 1:
            raise UsageError("1 or more is expected", where=argument("max_tiles", max_tiles))
        if adjacency and style != "torchmil":
            raise UsageError(
                "is for torchmil's graph models",
                where="`adjacency=True`",
                remedy="give `style='torchmil'`, too",
            )
        check_seed(seed)
        with needs_extra("mil", "a data set of bags"):
            import torch
        self.ids, self._slides = list(bags), list(bags.values())
        self.targets = labels.targets if labels else None
        self.classes = labels.classes if labels else ()
        self.feature_dim = int(store.attrs["settings"]["feature_dim"])
        self._store, self._by, self._max_tiles, self._seed = store, by, max_tiles, seed
        self._style, self._adjacency = style, adjacency
        # in shared memory, so that persistent workers see it change
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()  # type: ignore[no-untyped-call]

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        return f"BagDataset({str(self._store.where)!r}, {len(self)} bags by {self._by})"

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch, so that other tiles of large bags are drawn; like `DistributedSampler.set_epoch`."""
        self._epoch.fill_(epoch)

    def bag(self, index: int) -> Bag | PatientBag:
        """Return the bag of an item, from the store."""
        if self._by == "slide":
            return self._store[self._slides[index][0]]
        return PatientBag(self.ids[index], [self._store[slide_id] for slide_id in self._slides[index]])

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Return one bag as a dictionary.

        Returns:
            Style `plain`: `id`; `features`, float32 [n, D]; `coords`, int64 [n, 2], (x, y) in level-0 pixels
            of the tile's slide; if the model has clusters, `cluster`, int64 [n]; if there are labels,
            `label`, int64 []. Style `torchmil`: `X`, float32 [n, D]; `Y`, int64 []; `coords`, int64 [n, 2],
            (x, y) in steps of the grid; with `adjacency`, `adj`, sparse float32 [n, n].

        Raises:
            StoreError: If part of the bag is missing or damaged, or its features are not finite.
        """
        if not -len(self) <= index < len(self):
            raise IndexError(f"bag {index} of {len(self)}")  # ends a plain loop over the data set
        bag = self.bag(index)
        rows = self._rows(self.ids[index], len(bag))
        return (self._torchmil if self._style == "torchmil" else self._plain)(index, bag, rows)

    def _plain(self, index: int, bag: Bag | PatientBag, rows: Rows) -> dict[str, Any]:
        import torch

        item = {"id": self.ids[index], "features": self._features(bag, rows)}
        item["coords"] = torch.from_numpy(bag.coords[:][rows].astype(np.int64))
        if bag.cluster is not None:
            item["cluster"] = torch.from_numpy(bag.cluster[:][rows].astype(np.int64))
        if self.targets is not None:
            item["label"] = torch.tensor(int(self.targets[index]))
        return item

    def _torchmil(self, index: int, bag: Bag | PatientBag, rows: Rows) -> dict[str, Any]:
        import torch

        item = {"X": self._features(bag, rows)}
        if self.targets is not None:
            item["Y"] = torch.tensor(int(self.targets[index]))
        xy = lattice(bag)[rows]
        item["coords"] = torch.from_numpy(xy)
        if self._adjacency:
            item["adj"] = adjacency_of(xy)
        return item

    def _features(self, bag: Bag | PatientBag, rows: Rows) -> torch.Tensor:
        import torch

        # read as a whole: scattered rows take longer to read than all of them
        features = bag.features[:][rows].astype(np.float32)
        if not np.isfinite(features).all():
            raise StoreError(
                f"{bag!r}: features that are not finite", remedy="run wsi-embed verify, and embed it again"
            )
        return torch.from_numpy(features)

    def _rows(self, bag_id: str, n: int) -> Rows:
        """Return the indices of the tiles to take; the same for a bag, epoch and seed in any process."""
        if self._max_tiles is None or n <= self._max_tiles:
            return np.s_[:]
        rng = np.random.default_rng([self._seed, int(self._epoch), zlib.crc32(bag_id.encode())])
        return np.sort(rng.choice(n, self._max_tiles, replace=False))


def adjacency_of(xy: npt.NDArray[np.int64]) -> torch.Tensor:
    """Return which tiles touch, by side or corner, normalised like torchmil's: D^(-1/2) A D^(-1/2).

    Args:
        xy: Positions in steps of the grid, [n, 2].

    Returns:
        Sparse float32 [n, n]; a single tile is its own neighbour.
    """
    import torch

    with needs_extra("mil", "the adjacency of tiles"):
        from scipy.spatial import KDTree
        from torchmil.utils import normalize_adj
    n = len(xy)
    pairs = KDTree(xy).query_pairs(1.5, output_type="ndarray").T
    edges = np.concatenate([pairs, pairs[::-1]], axis=1) if n > 1 else np.zeros((2, n), np.int64)
    weights = normalize_adj(edges, np.ones(edges.shape[1]), n_nodes=n)
    values = torch.from_numpy(np.asarray(weights, np.float32))
    return torch.sparse_coo_tensor(torch.from_numpy(edges), values, (n, n), check_invariants=True).coalesce()
