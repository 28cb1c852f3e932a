"""What every foreign format has to do, whatever its files."""

from __future__ import annotations

import errno
import os
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from tests.job_tools import no_room
from wsi_embed import Store, open_store
from wsi_embed.convert import convert
from wsi_embed.convert.registry import FORMATS
from wsi_embed.errors import MissingExtraError, StoreError, UsageError
from wsi_embed.store import Bag, PatientBag
from wsi_embed.util.extras import install_command

Array = npt.NDArray[Any]


def files_of(folder: Path) -> dict[str, bytes]:
    """Every file that a consumer may see."""
    found = {p.relative_to(folder).as_posix(): p for p in folder.rglob("*") if p.is_file()}
    return {name: p.read_bytes() for name, p in sorted(found.items()) if not name.startswith(".wsi-embed")}


class FormatConformance:
    """Subclass it with `name`, and `read`: how the consumer's own code reads a bag.

    A format that needs labels has a fixture `asked` of its own, which is always `labels`.
    """

    name = ""
    tolerance = 0.0
    has_coords = True
    # at which renaming of a file a run is broken off
    breaks: tuple[int, ...] = (0, 1, 4)

    def read(self, out: Path, bag: str) -> tuple[Array, Array | None]:
        """Features [N, D], and where there are some positions [N, 2] in level-0 pixels."""
        raise NotImplementedError

    def file_name(self, bag: str) -> str:
        """Of a bag by its id."""
        return {"bo/1": "bo%2F1"}.get(bag, bag)

    def convert(self, source: Store, out: Path, labels: Path | None, **options: Any) -> Any:
        return convert(source, self.name, out, labels=labels, missing="skip", **options)

    @pytest.fixture(params=["with labels", "without"])
    def asked(self, request: pytest.FixtureRequest, labels: Path) -> Path | None:
        return labels if request.param == "with labels" else None

    def assert_is_bag(self, out: Path, bag: Bag | PatientBag, bag_id: str) -> None:
        features, coords = self.read(out, self.file_name(bag_id))
        expected = bag.features[:].astype(np.float64)
        assert features.shape == expected.shape
        np.testing.assert_allclose(features, expected, rtol=0, atol=self.tolerance)
        assert (coords is not None) is self.has_coords
        if coords is not None:
            np.testing.assert_array_equal(coords, bag.coords[:])

    def test_every_bag_is_read_back(self, source: Store, asked: Path | None, tmp_path: Path) -> None:
        done = self.convert(source, tmp_path / "out", asked)
        keeps = FORMATS.get(self.name).keeps_empty and asked is None
        assert done.failed == {}
        assert sorted(done.written) == ["a1", "a2", "b%202", *(["empty"] if keeps else [])]
        assert done.left_out == ([] if keeps or asked is not None else ["empty"])
        for bag_id in done.written:
            self.assert_is_bag(tmp_path / "out", source[bag_id], bag_id)

    def test_by_patient(self, source: Store, asked: Path | None, tmp_path: Path) -> None:
        if not FORMATS.get(self.name).by_patient:
            with pytest.raises(UsageError, match="leave `by='patient'` out"):
                self.convert(source, tmp_path / "out", asked, by="patient")
            return
        done = self.convert(source, tmp_path / "out", asked, by="patient")
        assert {"ann", "bo/1"} <= set(done.written) <= {"ann", "bo/1", "eve"}
        for patient in ("ann", "bo/1"):
            self.assert_is_bag(tmp_path / "out", source.patients()[patient], patient)

    def test_a_second_run_finds_everything_there(self, source: Store, labels: Path, tmp_path: Path) -> None:
        self.convert(source, tmp_path / "out", labels)
        before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*") if p.is_file()}
        done = self.convert(source, tmp_path / "out", labels)
        assert (done.written, sorted(done.skipped)) == ([], ["a1", "a2", "b%202"])
        assert {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*") if p.is_file()} == before

    def test_other_content_is_replaced_only_when_asked(
        self, source: Store, labels: Path, tmp_path: Path
    ) -> None:
        out = tmp_path / "out"
        self.convert(source, out, labels)
        before = files_of(out)
        other = tmp_path / "other.csv"
        other.write_text(labels.read_text().replace("tumour", "benign"))
        with pytest.raises(UsageError, match="`overwrite=True` replaces it"):
            self.convert(source, out, other)
        assert files_of(out) == before
        self.convert(source, out, other, overwrite=True)
        self.convert(source, tmp_path / "fresh" / "out", other)
        assert files_of(out) == files_of(tmp_path / "fresh" / "out")

    def test_a_file_of_somebody_else_is_left_alone(self, source: Store, labels: Path, tmp_path: Path) -> None:
        self.convert(source, tmp_path / "once", labels)
        theirs = tmp_path / "out" / next(iter(files_of(tmp_path / "once")))
        theirs.parent.mkdir(parents=True)
        theirs.write_text("precious")
        with pytest.raises(UsageError, match="choose another `out=`"):
            self.convert(source, tmp_path / "out", labels)
        assert theirs.read_text() == "precious"

    def test_a_run_that_breaks_off_leaves_whole_files_and_is_gone_on_with(
        self, source: Store, labels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.convert(source, tmp_path / "whole" / "out", labels)
        whole, replace = files_of(tmp_path / "whole" / "out"), os.replace
        for nth in self.breaks:
            out, count = tmp_path / str(nth) / "out", iter(range(1000))

            def failing(source: Any, target: Any, count: Any = count, nth: int = nth) -> None:
                if next(count) >= nth:
                    raise OSError(errno.ENOSPC, "No space left on device")
                replace(source, target)

            with monkeypatch.context() as patched:
                patched.setattr(os, "replace", failing)
                with pytest.raises(StoreError, match="No space left on device"):
                    self.convert(source, out, labels)
            left = files_of(out)
            assert left.keys() < whole.keys() or self.name == "anndata-joined"
            assert all(content == whole[name] for name, content in left.items())
            self.convert(source, out, labels)
            assert files_of(out) == whole

    @pytest.mark.skipif(sys.platform == "win32", reason="file sizes are limited on POSIX")
    def test_a_write_that_fails_leaves_nothing_that_counts_as_complete(
        self, source: Store, labels: Path, tmp_path: Path
    ) -> None:
        self.convert(source, tmp_path / "whole" / "out", labels)
        whole = files_of(tmp_path / "whole" / "out")
        most, out = max(map(len, whole.values())), tmp_path / "out"
        for limit in (most - 1, most // 2, 1000):
            with no_room(limit), pytest.raises(StoreError, match="File too large"):
                self.convert(source, out, labels)
            assert all(content == whole[name] for name, content in files_of(out).items())
        self.convert(source, out, labels)
        assert files_of(out) == whole

    def test_a_damaged_slide_fails_alone(self, source: Store, labels: Path, tmp_path: Path) -> None:
        shutil.copytree(source.path, tmp_path / "feats.zarr")
        chunk = next(p for p in (tmp_path / "feats.zarr" / "a2" / "features" / "c").rglob("*") if p.is_file())
        chunk.unlink()
        broken = open_store(tmp_path / "feats.zarr")
        if self.name == "anndata-joined":  # has no file of its own for a bag
            with pytest.raises(StoreError, match="a2/features"):
                self.convert(broken, tmp_path / "out", labels)
            return
        done = self.convert(broken, tmp_path / "out", labels)
        assert sorted(done.written) == ["a1", "b%202"]
        assert "a2/features: part of the array is missing" in done.failed["a2"]
        for bag_id in done.written:
            self.assert_is_bag(tmp_path / "out", source[bag_id], bag_id)
        shutil.rmtree(tmp_path / "feats.zarr")
        shutil.copytree(source.path, tmp_path / "feats.zarr")
        done = self.convert(open_store(tmp_path / "feats.zarr"), tmp_path / "out", labels)
        assert (done.written, sorted(done.skipped)) == (["a2"], ["a1", "b%202"])
        self.convert(source, tmp_path / "whole" / "out", labels)
        assert files_of(tmp_path / "out") == files_of(tmp_path / "whole" / "out")

    @pytest.mark.parametrize("damage", ["zarr.json", "features/zarr.json"])
    def test_a_slide_that_cannot_be_opened_fails_alone(
        self, source: Store, labels: Path, tmp_path: Path, damage: str
    ) -> None:
        shutil.copytree(source.path, tmp_path / "feats.zarr")
        (tmp_path / "feats.zarr" / "a2" / damage).write_text("{")
        told: dict[str, str] = {}
        done = self.convert(
            open_store(tmp_path / "feats.zarr"), tmp_path / "out", labels, on_bag=told.__setitem__
        )
        assert sorted(done.written) == ["a1", "b%202"]
        assert done.failed.keys() == {"a2"}
        assert told["a2"].startswith("failed: a2")
        self.convert(source, tmp_path / "out", labels)
        self.convert(source, tmp_path / "whole" / "out", labels)
        assert files_of(tmp_path / "out") == files_of(tmp_path / "whole" / "out")

    def test_a_missing_library_is_named_with_its_extra(
        self, source: Store, labels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        kind = FORMATS.get(self.name)
        for library in kind.libraries:
            with monkeypatch.context() as patched:
                patched.setitem(sys.modules, library, None)
                with pytest.raises(MissingExtraError, match=re.escape(install_command(kind.extra))):
                    self.convert(source, tmp_path / "out", labels)
        assert not (tmp_path / "out").exists()
