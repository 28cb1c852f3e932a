"""Reading of stores: a mapping from slide id to bag, and from patient to joined bag."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wsi_embed.bags.bag import Bag
from wsi_embed.bags.cluster_head import DOCUMENT
from wsi_embed.bags.open_clusters import open_clusters
from wsi_embed.bags.patient import PatientBag
from wsi_embed.errors import MissingStoreError, StoreError, UsageError
from wsi_embed.storage.address import Address, Location, location
from wsi_embed.storage.folder import METADATA_FILE
from wsi_embed.storage.open_folder import place_at
from wsi_embed.store.group import read_group
from wsi_embed.store.index import Row, scan
from wsi_embed.store.layout import FORMAT_VERSION, ChangedRootError, is_group, read_attributes
from wsi_embed.store.members import slide_folders
from wsi_embed.util.digest import canonical_digest
from wsi_embed.util.links import real_path

if TYPE_CHECKING:
    from wsi_embed.bags.dataset import BagDataset, Style
    from wsi_embed.bags.labels import By, LabelledBags, LabelSource, Missing


class Store(Mapping[str, Bag]):
    """Feature store as a mapping from slide id to bag. Slides that are not complete are left out.

    A slide that was complete and is damaged is listed, and opening it raises a StoreError.

    Args:
        path: Folder or address of the store, as for `open_store`.
        clusters: Clusters that replace those of the model, or names of its own, as for `open_store`.

    Attributes:
        where: Folder or address of the store.
        place: The same, as an interface for reading files.
        attrs: Root attributes: `format_version`, `model_id`, `model`, `settings`.
        head: Clusters that replace those of the model; None for the model's own.
        cluster_names: Names and colours of the clusters.

    Raises:
        StoreError: If there is no store, this version cannot read its format, or its root is damaged.

    Example:
        >>> import wsi_embed
        >>> store = wsi_embed.open_store("feats.zarr")
        >>> for slide_id, bag in store.items():
        ...     assert bag.features[:].shape == (len(bag), store.attrs["settings"]["feature_dim"])
    """

    def __init__(self, path: str | Location, clusters: str | Path | None = None) -> None:
        self.where = location(path)
        self.place = place_at(self.where)
        if not is_group(self.place):
            raise MissingStoreError("no store there", where=self.where, remedy="check the path")
        self.attrs = read_attributes(self.place)
        found = self.attrs.get("format_version")
        if found != FORMAT_VERSION:
            unlike = f"format {found}, this wsi-embed reads {FORMAT_VERSION}"
            raise StoreError("not a wsi-embed store" if found is None else unlike, where=self.where)
        covered = {name: value for name, value in self.attrs.items() if name != "digest"}
        if self.attrs.get("digest") != canonical_digest(covered):
            raise ChangedRootError(
                "the root attributes were changed after they were written",
                where=self.where,
                remedy=f"restore its {METADATA_FILE} from a copy",
            )
        self.use_clusters(clusters)

    def use_clusters(self, clusters: str | Path | None) -> None:
        """Replace the clusters of the model, or their names.

        Args:
            clusters: Clusters, or names, as for `open_store`; None for the model's own.

        Raises:
            UsageError: If the clusters are of another model, or cannot be read.
        """
        self._given_clusters = None if clusters is None else Path(clusters)
        own = (self.attrs.get("settings") or {}).get("clusters")
        model = str(self.attrs.get("model_id"))
        self.head, self.cluster_names = open_clusters(clusters, store=self.name, model_id=model, own=own)

    @property
    def name(self) -> str:
        """Name of the folder, or last part of the address."""
        return self.where.name

    @property
    def path(self) -> Path:
        """Local folder of the store.

        Raises:
            UsageError: If the store is in object storage.
        """
        if isinstance(self.where, Address):
            raise UsageError(
                "is not a folder on this machine", where=self.where, remedy="copy the store to this machine"
            )
        return self.where

    @property
    def near(self) -> Path:
        """Path beside which derived files are put.

        For a store in object storage this is its name in the current folder.
        """
        return real_path(self.where) if isinstance(self.where, Path) else Path(self.name).absolute()

    @property
    def names_path(self) -> Path:
        """File with names and colours of the clusters, if there are any.

        It is that of `clusters`, or `<store>-clusters.json` beside the store.
        """
        given = self._given_clusters
        if given is None:
            return self.near.with_name(f"{self.near.stem}-clusters.json")
        return given / DOCUMENT if given.is_dir() else given

    @property
    def model_id(self) -> str:
        """Digest of the model that computed the features."""
        return str(self.attrs["model_id"])

    @property
    def clusters(self) -> int | None:
        """Number of clusters; None if the model has no cluster head."""
        return self.attrs["settings"]["clusters"] if self.head is None else len(self.head)

    @property
    def slide_ids(self) -> list[str]:
        """Ids of all complete slides, sorted."""
        return [
            row.slide_id for row in self.rows()
        ]  # list(self) would call len() first, which lists them too

    def __getitem__(self, slide_id: str) -> Bag:
        group = read_group(self.place / slide_id, self._settings) if _is_name(slide_id) else None
        if group is None:
            raise KeyError(f"{slide_id}: no complete slide of that id in {self.where}")
        return Bag(
            slide_id,
            self.place / slide_id,
            group.attributes,
            self.clusters,
            self.head,
            self.cluster_names,
            group.documents,
        )

    def __contains__(self, slide_id: object) -> bool:
        try:
            return isinstance(slide_id, str) and self[slide_id] is not None
        except KeyError:
            return False
        except StoreError:
            return True  # there, and damaged

    def __iter__(self) -> Iterator[str]:
        return (row.slide_id for row in self.rows())

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __repr__(self) -> str:
        return f"Store({str(self.where)!r})"

    def patients(self) -> dict[str, PatientBag]:
        """Join the slides of each patient.

        Slides without a patient in the manifest are left out; to find them, use
        `[bag.slide_id for bag in store.values() if bag.patient is None]`.

        Returns:
            Joined bags by patient, sorted.

        Example:
            >>> import wsi_embed
            >>> store = wsi_embed.open_store("feats.zarr")
            >>> sorted(store.patients())
            []
        """
        slides = {patient: [row.slide_id for row in rows] for patient, rows in self.rows_by_patient().items()}
        ids = [slide_id for some in slides.values() for slide_id in some]
        bags = dict(zip(ids, self.place.map(self.__getitem__, ids), strict=True))
        return {
            patient: PatientBag(patient, [bags[name] for name in some]) for patient, some in slides.items()
        }

    def rows_by_patient(self) -> dict[str, list[Row]]:
        """Return the index rows of the slides of each patient, by patient.

        Raises:
            StoreError: If a slide is damaged, so that its patient is unknown.
        """
        found: dict[str, list[Row]] = {}
        for row in self.rows():
            if row.damage is not None:
                raise StoreError(row.damage, where=row.slide_id, remedy="run wsi-embed verify")
            if row.patient is not None:
                found.setdefault(row.patient, []).append(row)
        return dict(sorted(found.items()))

    def torch_dataset(
        self,
        labels: LabelledBags | LabelSource | None = None,
        *,
        by: By = "slide",
        split: str | None = None,
        missing: Missing = "fail",
        classes: Sequence[str] | None = None,
        max_tiles: int | None = None,
        seed: int = 0,
        style: Style = "plain",
        adjacency: bool = False,
    ) -> BagDataset:
        """Return the bags as a map-style PyTorch data set (extra `mil`); see `BagDataset` for its items.

        Args:
            labels: A CSV file, data frame or mapping, joined to the store by `join_labels`, or the result of
                that. None takes all bags with tiles, without labels.
            by: Whether a bag is a slide or a patient.
            split: Value of the column `split` of the bags to take; all by default.
            missing: Handling of bags without a label and labels without a bag: `fail` or `skip`.
            classes: Names of the classes, in order; those of the table, sorted, by default.
            max_tiles: Number of tiles to draw from larger bags, anew in each epoch (`set_epoch`).
            seed: Seed of the draw.
            style: `plain`, or `torchmil` for its models and its collate function.
            adjacency: Whether items of style `torchmil` have the adjacency of the tiles, for its graph
                models.

        Raises:
            UsageError: If labels and bags do not match, or an argument is invalid.
            MissingExtraError: If the extra `mil` is not installed.

        Example:
            >>> import wsi_embed
            >>> store = wsi_embed.open_store("feats.zarr")
            >>> bags = store.torch_dataset(max_tiles=100)
            >>> bags[0]["features"].dtype
            torch.float32
        """
        from wsi_embed.bags.dataset import BagDataset
        from wsi_embed.bags.labels import LabelledBags, join_labels

        if labels is not None and not isinstance(labels, LabelledBags):
            labels = join_labels(self, labels, by=by, missing=missing, classes=classes)
        if labels is None:
            if split is not None:
                raise UsageError(
                    f"split {split!r}: only labels say which bags are in it", remedy="give them too"
                )
            groups = (
                self.rows_by_patient() if by == "patient" else {row.slide_id: [row] for row in self.rows()}
            )
            with_tiles = {
                name: rows for name, rows in groups.items() if any(row.tiles or row.damage for row in rows)
            }
            bags = {name: tuple(row.slide_id for row in rows) for name, rows in with_tiles.items()}
        else:
            labels = labels if split is None else labels.where(split=split)
            bags, by = {bag.id: bag.slides for bag in labels}, labels.by
        return BagDataset(
            self, bags, labels, by=by, max_tiles=max_tiles, seed=seed, style=style, adjacency=adjacency
        )

    def incomplete(self) -> list[str]:
        """Return the names of incomplete and damaged groups, which the next run redoes."""
        complete = {row.slide_id for row in self.rows() if row.damage is None}
        return [name for name in slide_folders(self.place) if name not in complete]

    def rows(self) -> Iterator[Row]:
        """Yield the index row of each complete slide, by id, without opening bags."""
        return scan(self.place, self._settings)

    def state(self, slide_id: str) -> list[int] | None:
        """Return two integers that change when a slide is replaced, as in its row; None if there is none."""
        return self.place.state(f"{slide_id}/{METADATA_FILE}") if _is_name(slide_id) else None

    @property
    def _settings(self) -> dict[str, Any]:
        return dict(self.attrs.get("settings") or {})


def _is_name(slide_id: str) -> bool:
    return slide_id not in ("", ".", "..") and "/" not in slide_id and "\0" not in slide_id
