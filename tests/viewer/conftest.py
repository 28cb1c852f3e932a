"""A small cohort for the tests of the viewer: slides, a store, annotations, attention and a report."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import wsi_embed
from tests.made_models import tiny_onnx
from tests.made_slides import he_pixels, write_tiff
from wsi_embed.bags.bag import Bag
from wsi_embed.store.attention import SlideAttention, write_attention
from wsi_embed.viewer.session import Session, open_session

pytest.importorskip("starlette")

# What an attacker could call a slide, a class or a cluster: a script, control characters, reversed text.
HOSTILE = "<img src=x onerror=alert(1)>"
CONTROL = "bell\x07\u202etxt"
SIZES = {"a": (900, 700), "b": (640, 512), HOSTILE: (520, 520)}


@dataclass(frozen=True)
class Cohort:
    """Files of the cohort.

    Attributes:
        slides: Folder with the slides `a`, `b`, one with a hostile name, and one that failed.
        store: Store of these slides.
        annotations: Annotations of slide `a`.
        attention: Attention for slide `a`.
        report: Report of the job.
    """

    slides: Path
    store: Path
    annotations: Path
    attention: Path
    report: Path

    def session(self, **changes: Any) -> Session:
        """Open everything, or with other arguments of `open_session`."""
        given: dict[str, Any] = {
            "annotations": self.annotations,
            "attention": self.attention,
            "report": self.report,
        }
        return open_session([self.store], [self.slides], **(given | changes))


@pytest.fixture(scope="session")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    """Do not change it."""
    folder = tmp_path_factory.mktemp("cohort")
    made = Cohort(
        *(folder / name for name in ("slides", "feats.zarr", "xml", "attention.zarr", "report.json"))
    )
    made.slides.mkdir()
    for seed, (name, (width, height)) in enumerate(SIZES.items()):
        write_tiff(made.slides / f"{name}.tiff", he_pixels(height, width, seed=seed), compression="jpeg")
    (made.slides / "broken.svs").write_bytes(b"II*\0 this is no slide")
    model = tiny_onnx(folder / "model.onnx")
    report = wsi_embed.embed(made.slides, made.store, model=model, device="cpu")
    report.write(made.report)
    store = wsi_embed.open_store(made.store)
    about = {"model_id": store.model_id, "method": "dsmil"}
    write_attention(made.attention, about, [made_attention(store["a"])])
    made.annotations.mkdir()
    (made.annotations / "a.geojson").write_text(json.dumps(made_annotations()))
    return made


def made_attention(bag: Bag) -> SlideAttention:
    """Attention that grows with the number of the tile, and falls for the other class."""
    weights = np.arange(1, len(bag) + 1, dtype=np.float32)
    both = np.stack([weights[::-1], weights], axis=1) / weights.sum()
    return SlideAttention(
        bag.slide_id, both, bag.grid[:], ("normal", HOSTILE), HOSTILE, HOSTILE, {"normal": 0.2, HOSTILE: 0.8}
    )


def made_annotations() -> dict[str, Any]:
    """A square of a hostile class with a hole, and one without a class."""
    outer = [[100, 100], [400, 100], [400, 400], [100, 400], [100, 100]]
    hole = [[200, 200], [300, 200], [300, 300], [200, 300], [200, 200]]
    small = [[500, 500], [600, 500], [600, 600], [500, 500]]
    return {
        "type": "FeatureCollection",
        "features": [
            {
                "type": "Feature",
                "geometry": {"type": "Polygon", "coordinates": [outer, hole]},
                "properties": {"classification": {"name": HOSTILE}},
            },
            {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [small]}, "properties": {}},
        ],
    }


@pytest.fixture(scope="session")
def session(cohort: Cohort) -> Iterator[Session]:
    """Session of the cohort. Do not change it."""
    opened = cohort.session()
    yield opened
    opened.close()


@pytest.fixture
def copied(cohort: Cohort, tmp_path: Path) -> Cohort:
    """Copy of the cohort that a test may change."""
    folder = tmp_path / "copied"
    shutil.copytree(cohort.slides.parent, folder)
    return Cohort(*(folder / path.name for path in vars(cohort).values()))
