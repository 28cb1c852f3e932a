from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.made_models import made_metadata
from wsi_embed.cli.exported import cluster_line, show_exported

pytest.importorskip("wsi_embed_export")
FIGURES = {"max_error": 0.0033, "min_cosine": 1.0, "cluster_agreement": 0.986487, "confidence_error": 0.0003}


def test_the_figure_that_has_a_limit_is_printed_with_it(capsys: pytest.CaptureFixture[str]) -> None:
    parity = {**FIGURES, "clear_cluster_agreement": 0.9991, "golden_tiles": 3}
    metadata = replace(made_metadata(clusters=5), precision="fp16", parity=parity)
    show_exported(Path("half.onnx"), metadata, "against PyTorch fp32")
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == "against PyTorch fp32: max error 0.0033, min cosine 1"
    assert lines[2] == (
        "clusters: the same for 98.64 % of the tiles, 99.91 % without near-ties (at least 99.5 %); "
        "probabilities within 0.0003"
    )


def test_models_without_clusters_have_no_such_line(capsys: pytest.CaptureFixture[str]) -> None:
    show_exported(Path("a.onnx"), replace(made_metadata(), parity={"max_error": 0.0}), "against b.onnx")
    assert "clusters" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("precision", "share", "shown"),
    [
        ("fp32", 0.99999, "99.99 % without near-ties (at least 100 %)"),  # never rounded up to all
        ("fp32", 1.0, "100 % without near-ties (at least 100 %)"),
        ("fp16", 0.995, "99.5 % without near-ties (at least 99.5 %)"),
        ("int8", 0.9, "90 % without near-ties;"),  # int8 has no limit of clusters
    ],
)
def test_shares_and_limits(precision: str, share: float, shown: str) -> None:
    assert shown in cluster_line(precision, 0.5, share, 0.1)
