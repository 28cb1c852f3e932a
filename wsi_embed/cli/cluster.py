"""`wsi-embed cluster STORE --out DIR`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from wsi_embed.cli.options import StorePlace
from wsi_embed.util.json_text import json_text


def command(
    store: StorePlace,
    out: Annotated[
        Path,
        typer.Option("--out", help="Output folder; created, or overwritten.", show_default=False),
    ],
    k: Annotated[
        str | None,
        typer.Option(
            "--k", help="Number of clusters; auto: the most stable number from 4 to 30. Default: 20."
        ),
    ] = None,
    method: Annotated[
        str,
        typer.Option("--method", help="kmeans, or leiden: finds the number of clusters (extra `leiden`)."),
    ] = "kmeans",
    resolution: Annotated[
        float, typer.Option("--resolution", help="Resolution of Leiden: the larger, the more clusters.")
    ] = 1.0,
    sample: Annotated[
        int,
        typer.Option(
            "--sample", help="Number of tiles to fit the clusters to, drawn evenly over the slides."
        ),
    ] = 100_000,
    seed: Annotated[int, typer.Option("--seed", help="Seed of the sample and of the clustering.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Cluster the features of a store, of any model, by spherical k-means or Leiden (extra `cluster`).

    The store is not changed: plot, eval clusters and convert take the folder with --clusters, and `wsi-embed
    export MODEL.onnx --cluster-head DIR` adds the clusters to a model. Clusters are numbered by size.
    """
    from wsi_embed.bags.cluster_head import written_document
    from wsi_embed.cli.tables import show_facts
    from wsi_embed.clustering import fit_clusters
    from wsi_embed.store import open_store
    from wsi_embed.util.text import percent

    written_document(out)  # fail before the work
    head = fit_clusters(open_store(store), k, method=method, resolution=resolution, sample=sample, seed=seed)
    head.save(out)
    if as_json:
        typer.echo(json_text({"out": str(out), "clusters": len(head), "digest": head.digest, **head.about}))
        return
    shares: list[float] = head.about["shares"]
    facts: dict[str, object] = {
        "clusters": f"{len(head)}, of {head.about['sample']:,} tiles",
        "shares": f"{percent(shares[0])} (largest) to {percent(shares[-1])} (smallest)",
        "folder": out,
    }
    show_facts(facts, [])
