"""`wsi-embed eval clusters STORE`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wsi_embed.cli.command import joined
from wsi_embed.cli.eval import options
from wsi_embed.cli.eval.store_labels import StoreLabels
from wsi_embed.cli.lines import echo, say
from wsi_embed.cli.options import ClustersFolder, StorePlace
from wsi_embed.cli.wording import in_flags, reworded
from wsi_embed.util.json_text import json_text

if TYPE_CHECKING:
    from wsi_embed.evaluate.cluster_figures import ClusterEvaluation
    from wsi_embed.store import Store


def command(
    store: StorePlace,
    annotations: options.Annotations = None,
    classes: options.Classes = None,
    rest: options.Rest = None,
    tiles: Annotated[
        Path | None,
        typer.Option(
            "--tiles",
            help="CSV with `slide_id`, `x`, `y` and the labels, instead of --annotations.",
            rich_help_panel=options.STORE,
        ),
    ] = None,
    column: Annotated[
        str,
        typer.Option("--column", help="Column of --tiles with the labels.", rich_help_panel=options.STORE),
    ] = "label",
    clusters: ClustersFolder = None,
    merged: Annotated[
        bool,
        typer.Option(
            "--merged",
            help="Evaluate clusters of the same name as one, which they are shown as. Default: off.",
        ),
    ] = False,
    slides: Annotated[
        list[Path] | None,
        typer.Option(
            "--slides", help="Slides, for a contact sheet of typical tiles of each cluster in --out."
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Folder for figures, table and contact sheet.", show_default=False),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Evaluate a store's clusters: whether all are used, agree between slides, and match labels.

    Needs the extra `cluster`.
    """
    from wsi_embed.errors import UsageError
    from wsi_embed.store import open_named_store
    from wsi_embed.util.extras import needs_extra

    if slides and out is None:
        raise UsageError("--slides needs --out, where the contact sheet is written")
    opened = open_named_store(store, clusters=clusters)
    with needs_extra("cluster", "wsi-embed eval clusters"):
        from wsi_embed.evaluate.clusters import check_clusters_folder, evaluate_clusters, write_clusters

        check_clusters_folder(out)
        labels = StoreLabels(annotations, joined(classes), rest, tiles, column).read(opened)
        evaluation = evaluate_clusters(opened, labels, merged=merged)
    files = [str(path) for path in write_clusters(evaluation, out)] if out else []
    failed = _draw(opened, slides, out, files) if slides and out else 0
    if as_json:
        typer.echo(json_text(reworded(evaluation.to_dict()), indent=2))
    else:
        _show(evaluation, files)
    raise typer.Exit(1 if failed else 0)


def _draw(store: Store, slides: Sequence[Path], out: Path, files: list[str]) -> int:
    """Draw the contact sheet; return the number of slides that failed."""
    from wsi_embed.inputs.slides import find_slides
    from wsi_embed.plot.chosen_slides import select
    from wsi_embed.plot.draw_slides import Drawing, draw_sheet

    def warn(line: str) -> None:
        say(in_flags(line), err=True)

    return draw_sheet(
        store, select(store, find_slides(list(slides)), warn), out, Drawing(), files.append, warn
    )


def _show(evaluation: ClusterEvaluation, files: Sequence[str]) -> None:
    from wsi_embed.cli.tables import show_facts
    from wsi_embed.util.text import counted, percent

    facts: dict[str, object] = {
        "tiles": f"{evaluation.tiles:,} on {counted(evaluation.slides, 'slide')}",
        "clusters used": f"{evaluation.used} of {evaluation.clusters}",
        "entropy": f"{evaluation.entropy:.3f} of 1, as {evaluation.effective:.1f} clusters of one size",
    }
    if evaluation.slide_distance is not None:
        facts["slide to slide"] = f"mean Jensen-Shannon distance {evaluation.slide_distance:.3f} (0 to 1)"
        facts["cluster and slide"] = f"NMI {evaluation.slide_nmi:.3f}"
    if (found := evaluation.agreement) is not None:
        facts["labelled tiles"] = ", ".join(f"{n:,} {name}" for name, n in found.classes.items())
        facts["purity"] = f"{found.purity:.3f}; one cluster alone would have {found.largest_class:.3f}"
        facts["cluster and label"] = f"NMI {found.nmi:.3f}, ARI {found.ari:.3f}"
    rows: list[dict[str, object]] = []
    for row in evaluation.rows:
        shown: dict[str, object] = {"cluster": row.cluster}
        if any(other.name for other in evaluation.rows):
            shown["name"] = row.name or ""
        shown["tiles"] = f"{row.tiles:,}"
        shown |= {"share": percent(row.share), "slides": row.slides}
        if row.evenness is not None:
            shown["evenness"] = f"{row.evenness:.2f}"
        if row.label is not None and row.purity is not None:
            shown |= {"mostly": row.label, "purity": f"{row.purity:.2f}"}
        rows.append(shown)
    show_facts(facts, rows)
    for note in evaluation.notes:
        say(f"note: {in_flags(note)}")
    for path in files:
        echo(path)
