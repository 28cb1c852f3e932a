"""Implementations by name: classes imported at first use; other packages can add names."""

from __future__ import annotations

import difflib
import functools
import importlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from wsi_embed.errors import UsageError
from wsi_embed.util.text import argument

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

T = TypeVar("T")
OWN = "wsi-embed"


class Registry(Generic[T]):
    """Implementations of one interface by name, such as the readers of slides.

    Nothing is imported, and no installed package is inspected, before a name is looked up.

    Args:
        option: Argument that selects an implementation, for messages: `reader`.
        places: `module:attribute` of each implementation in this package, by name.
        group: Entry-point group through which other packages add implementations; None if they cannot.
        base: `module:class` from which implementations of other packages must be derived.
        typed: Text that users type for a name, where it differs from the name: `model:FILE`.

    Attributes:
        option: Command-line option that selects an implementation.
        places: `module:attribute` of each implementation in this package, by name.
    """

    def __init__(
        self,
        option: str,
        places: Mapping[str, str],
        *,
        group: str | None = None,
        base: str | None = None,
        typed: Mapping[str, str] | None = None,
    ) -> None:
        self.places = dict(places)
        self.option, self._group, self._base, self._typed = option, group, base, typed or {}

    def names(self) -> tuple[str, ...]:
        """Return all names: this package's in their order, then those of other packages."""
        return (*self.places, *sorted(self._added().keys() - self.places.keys()))

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())

    def __contains__(self, name: object) -> bool:
        return name in self.places or name in self._added()

    def get(self, name: str) -> T:
        """Import an implementation.

        Args:
            name: Name of the implementation.

        Raises:
            UsageError: If the name is unknown, if several packages define it, or if the package that defines
                it cannot be used.
        """
        point = self._find(name)
        kind: T = _load(self.places[name]) if point is None else self._load_added(point)
        return kind

    def check(self, name: str) -> None:
        """Check a name that a user chose.

        Implementations of other packages are imported for this, those of this package are not.

        Args:
            name: Name of the implementation.

        Raises:
            UsageError: As for `get`.
        """
        point = self._find(name)
        if point is not None:
            self._load_added(point)

    def version_of(self, name: str) -> dict[str, str]:
        """Return name and version of the package that added a name; empty for a name of this package."""
        found = [point.dist for point in self._added().get(name, ()) if point.dist is not None]
        return {dist.name: dist.version for dist in found}

    def _find(self, name: str) -> EntryPoint | None:
        """Return the entry point of a name; None for a name of this package."""
        points = self._added().get(name, ())
        owners = [OWN] * (name in self.places) + [_owner(point) for point in points]
        if not owners:
            raise unknown_name(self.option, name, [self._typed.get(known, known) for known in self.names()])
        if len(owners) > 1:
            raise UsageError(
                f"{' and '.join(owners)} both have it (entry points of {self._group})",
                where=selection(self.option, name),
                remedy="uninstall one, or rename it there",
            )
        return next(iter(points), None)

    def _added(self) -> Mapping[str, Sequence[EntryPoint]]:
        return {} if self._group is None else entry_points(self._group)

    def _load_added(self, point: EntryPoint) -> Any:
        try:
            kind = point.load()
        except Exception as error:  # importing the package may raise anything
            raise self._broken(point, f"{type(error).__name__}: {error}") from error
        base = None if self._base is None else _load(self._base)
        if base is not None and not (isinstance(kind, type) and issubclass(kind, base)):
            raise self._broken(point, f"{point.value} is no subclass of {base.__name__}")
        return kind

    def _broken(self, point: EntryPoint, why: str) -> UsageError:
        why = " ".join(why.split())
        return UsageError(
            f"{_owner(point)} cannot be used ({why})",
            where=selection(self.option, point.name),
            remedy="update or uninstall it",
        )


def unknown_name(option: str, name: str, names: Iterable[str]) -> UsageError:
    """Return the error for an unknown name, which lists the known names and suggests the closest one."""
    known = list(names)
    listed = " or ".join(filter(None, [", ".join(known[:-1]), *known[-1:]])) or "nothing: there are none"
    near = difflib.get_close_matches(name, known, n=1)
    remedy = f"did you mean {near[0]}?" if near else None
    return UsageError(f"choose {listed}", where=selection(option, name), remedy=remedy)


@functools.cache
def entry_points(group: str) -> Mapping[str, Sequence[EntryPoint]]:
    """Return the entry points of a group in all installed distributions, by name.

    The result is cached for the process: the search takes about 0.1 ms per distribution. Distributions whose
    metadata cannot be read are passed over: most have nothing to do with this package.
    """
    import importlib.metadata

    found: dict[str, dict[str, EntryPoint]] = {}
    for dist in importlib.metadata.distributions():
        try:
            added = {point.name: point for point in dist.entry_points if point.group == group}
            owner = dist.name if added else ""
        except Exception:  # damaged metadata may raise anything
            continue
        for name, point in added.items():
            # of two copies of a distribution, Python imports the first one found
            found.setdefault(name, {}).setdefault(owner, point)
    return {name: list(points.values()) for name, points in found.items()}


def selection(option: str, name: str) -> str:
    """Return what selects an implementation, for messages: an argument, or words such as `reader of .x`."""
    return argument(option, name) if option.isidentifier() else f"{option} {name}"


def _load(place: str) -> Any:
    module, _, attribute = place.partition(":")
    return getattr(importlib.import_module(module), attribute)


def _owner(point: EntryPoint) -> str:
    return point.value if point.dist is None else f"{point.dist.name} {point.dist.version}"
