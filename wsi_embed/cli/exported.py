"""Lines about an exported model: what it is, and how far it agrees with what it was made from."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

from wsi_embed.cli.lines import say
from wsi_embed.cli.wording import in_flags

if TYPE_CHECKING:
    from wsi_embed.encoder import ModelMetadata

# Figures of a comparison that are about clusters, in the order in which they are printed.
OF_CLUSTERS = ("cluster_agreement", "clear_cluster_agreement", "confidence_error")


def show_exported(out: Path, metadata: ModelMetadata, against: str) -> None:
    """Print the lines.

    Args:
        out: The exported file.
        metadata: Metadata of the file.
        against: Name of the model that it was compared with, as in `against PyTorch fp32`.
    """
    figures = {key: value for key, value in metadata.parity.items() if not key.startswith("golden")}
    of_features = (f"{key.replace('_', ' ')} {figures[key]:g}" for key in figures if key not in OF_CLUSTERS)
    say(f"{out}: {metadata.method} {metadata.backbone}, {metadata.precision}, {metadata.model_id}")
    say(f"{against}: {', '.join(of_features)}")
    if all(key in figures for key in OF_CLUSTERS):
        say(cluster_line(metadata.precision, *(figures[key] for key in OF_CLUSTERS)))
    if metadata.licence:
        say(f"licence: {metadata.licence}")
    for note in metadata.training.get("notes", ()):
        say(in_flags(note))
    if metadata.mpp is None:
        say("its resolution is not known: give --mpp here, or every time the model is used")


def cluster_line(precision: str, same: float, clear: float, error: float) -> str:
    """Describe how far clusters agree, and which of the two shares of tiles has a limit.

    Args:
        precision: Precision of the exported file.
        same: Share of tiles with the same cluster.
        clear: The same share without near-ties between two clusters.
        error: Largest difference of a cluster's probability.

    Example:
        >>> from wsi_embed.cli.exported import cluster_line
        >>> cluster_line("int8", 0.9, 0.9, 0.2)
        'clusters: the same for 90 % of the tiles, 90 % without near-ties; probabilities within 0.2'
    """
    from wsi_embed_export.parity import limits_of

    limit = limits_of(precision).clusters
    judged = f" (at least {100 * limit:g} %)" if limit else ""
    shares = f"{_floored(same)} % of the tiles, {_floored(clear)} % without near-ties{judged}"
    return f"clusters: the same for {shares}; probabilities within {error:.2g}"


def _floored(share: float) -> str:
    """Return a share in percent with two decimals; only all tiles are 100."""
    return f"{math.floor(1e4 * share + 1e-6) / 100:g}"
