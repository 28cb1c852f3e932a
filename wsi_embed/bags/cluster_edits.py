"""Editing of the names and colours of clusters in their file, with undo."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wsi_embed.bags.cluster_changes import Rgb, merged, recoloured, renamed
from wsi_embed.bags.cluster_names import COLOURS, NAMES, ClusterNames
from wsi_embed.bags.json_document import read_document
from wsi_embed.errors import UsageError
from wsi_embed.storage.lock import whole_lock
from wsi_embed.util.atomic_files import create, replacing
from wsi_embed.util.digest import canonical_digest
from wsi_embed.util.json_text import json_text

Parts = dict[str, dict[str, str]]
# Steps that can be undone; older ones are dropped.
STEPS = 100
_STATES, _AT = "states", "at"


class EditConflict(UsageError):
    """Names were changed by someone else after they were read."""


@dataclass(frozen=True)
class NamesState:
    """Names and colours of clusters at a moment.

    Attributes:
        names: The names and colours.
        revision: Digest of them, by which a later change notices changes in between.
        can_undo: Whether there is a step to undo.
        can_redo: Whether there is an undone step to redo.
    """

    names: ClusterNames
    revision: str
    can_undo: bool
    can_redo: bool


class ClusterNamesFile:
    """File with the names and colours of clusters, for changes by several people.

    Each change replaces the file as a whole and keeps everything else in it. Earlier names are in
    `.<file>.history.json` beside it. Names that were changed by hand count as a step. A history that cannot
    be read is started anew.

    Args:
        path: `clusters.json` of a folder of clusters, or a file with names only; made at the first change.
        clusters: Number of clusters.
        model_id: Id of the model, for a new file with names only.
        digest: Digest of the clusters, if the file is that of a folder of clusters. Names are then refused if
            other clusters have been written into the folder meanwhile, or it has been removed.

    Example:
        >>> from pathlib import Path
        >>> from wsi_embed.bags.cluster_edits import ClusterNamesFile
        >>> file = ClusterNamesFile(Path("feats-clusters.json"), 4, "sha256:a")
        >>> state = file.rename([0, 2], "stroma", file.read().revision)
        >>> state.names[2], file.undo(state.revision).names[2]
        ('stroma', 'cluster 2')
    """

    def __init__(self, path: Path, clusters: int, model_id: str, digest: str | None = None) -> None:
        self.path, self.clusters, self.model_id, self.digest = path, clusters, model_id, digest
        self._history_path = path.with_name(f".{path.name}.history.json")

    def read(self) -> NamesState:
        """Read the names.

        Raises:
            UsageError: If the file cannot be read, or is damaged.
        """
        names = ClusterNames.from_dict(self._document(), self.clusters, self.path)
        states, at = self._history(names.to_dict())
        return NamesState(names, canonical_digest(names.to_dict()), at > 0, at + 1 < len(states))

    def rename(self, clusters: Iterable[int], name: str | None, revision: str | None = None) -> NamesState:
        """Give clusters a name; clusters of the same name are one class. See `cluster_changes.renamed`.

        Args:
            clusters: The clusters.
            name: Name; None removes that of each cluster.
            revision: Revision that the change is made to; None for any.

        Raises:
            EditConflict: If the names have another revision meanwhile.
            UsageError: If a cluster does not exist, the name is none, or the file cannot be written.
        """
        return self._edit(lambda names: renamed(names, clusters, name), revision)

    def recolour(
        self, clusters: Iterable[int], colour: Rgb | None, revision: str | None = None
    ) -> NamesState:
        """Give clusters, and all others of their names, a colour; None removes it. See `rename`."""
        return self._edit(lambda names: recoloured(names, clusters, colour), revision)

    def merge(
        self, clusters: Iterable[int], name: str | None = None, revision: str | None = None
    ) -> NamesState:
        """Make at least two clusters one class; see `cluster_changes.merged` and `rename`."""
        return self._edit(lambda names: merged(names, clusters, name), revision)

    def undo(self, revision: str | None = None) -> NamesState:
        """Undo the last step.

        Raises:
            EditConflict: If the names have another revision meanwhile.
            UsageError: If there is no step to undo, or the file cannot be written.
        """
        return self._step(-1, revision)

    def redo(self, revision: str | None = None) -> NamesState:
        """Redo the step that was undone last; see `undo`."""
        return self._step(1, revision)

    def _step(self, by: int, revision: str | None) -> NamesState:
        with self._locked():
            state = self._checked(revision)
            states, at = self._history(state.names.to_dict())
            if not 0 <= at + by < len(states):
                raise UsageError(f"there is nothing to {'undo' if by < 0 else 'redo'}", where=self.path)
            self._write(states[at + by], states, at + by)
            return self.read()

    def _edit(self, change: Callable[[ClusterNames], ClusterNames], revision: str | None) -> NamesState:
        with self._locked():
            state = self._checked(revision)
            before, after = state.names.to_dict(), change(state.names).to_dict()
            after = ClusterNames.from_dict(after, self.clusters, self.path).to_dict()
            if after == before:
                return state
            states, at = self._history(before)
            states = [*states[: at + 1], after][-STEPS - 1 :]
            self._write(after, states, len(states) - 1)
            return self.read()

    def _checked(self, revision: str | None) -> NamesState:
        state = self.read()
        if revision not in (None, state.revision):
            raise EditConflict(
                "the names were changed by someone else meanwhile",
                where=self.path,
                remedy="look at the present names, then repeat the change",
            )
        return state

    def _document(self) -> dict[str, Any]:
        """Return the contents of the file; those of a new one if there is none."""
        try:
            document = read_document(self.path)
        except FileNotFoundError as error:
            if self.digest is not None:
                raise UsageError("is gone", where=self.path, remedy="make the clusters again") from error
            return {"model_id": self.model_id}
        except OSError as error:
            raise UsageError(f"cannot be read ({error.strerror})", where=self.path) from error
        if document.get("model_id", self.model_id) != self.model_id:
            raise UsageError(
                f"names the clusters of {document['model_id']}, but these are of {self.model_id}",
                where=self.path,
            )
        if self.digest is not None and document.get("digest", self.digest) != self.digest:
            raise UsageError(
                "holds other clusters than when it was opened", where=self.path, remedy="open it again"
            )
        return document

    def _history(self, now: Parts) -> tuple[list[Parts], int]:
        """Return all steps, and the index of the present one, which ends them if someone else made it."""
        try:
            document = read_document(self._history_path)
            states, at = document[_STATES], document[_AT]
            for state in states:
                ClusterNames.from_dict(state, self.clusters, self._history_path)
            present = states[at]
        except (OSError, UsageError, LookupError, TypeError, AttributeError):
            return [now], 0
        if present == now:
            return states, at
        states = [*states[: at + 1], now]
        return states, len(states) - 1

    def _write(self, now: Parts, states: list[Parts], at: int) -> None:
        """Replace the names, then the history: after a crash in between, the names are one more step."""
        document = {name: part for name, part in self._document().items() if name not in (NAMES, COLOURS)}
        document |= {NAMES: now.get(NAMES, {}), COLOURS: now.get(COLOURS, {})}
        _replace(self.path, document)
        _replace(self._history_path, {_STATES: states, _AT: at})

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold the lock of the file, against other processes and threads."""
        lock = self.path.with_name(f".{self.path.name}.lock")
        try:
            create(lock, "")
        except OSError as error:
            raise _cannot_write(self.path, error) from error
        with whole_lock(lock):
            yield


def _replace(path: Path, document: Mapping[str, Any]) -> None:
    try:
        with replacing(path) as part:
            part.write_text(json_text(document, indent=2, ensure_ascii=False) + "\n", "utf-8")
    except OSError as error:
        raise _cannot_write(path, error) from error


def _cannot_write(path: Path, error: OSError) -> UsageError:
    return UsageError(
        f"names of clusters cannot be written ({error.strerror})",
        where=path,
        remedy="make its folder writable",
    )
