"""`wsi-embed predict STORE --mil FILE.onnx --out DIR`."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wsi_embed.cli.options import StorePlace
from wsi_embed.util.json_text import json_text

if TYPE_CHECKING:
    from wsi_embed.evaluate.mil.predict import PredictionReport


def command(
    store: StorePlace,
    mil: Annotated[
        Path,
        typer.Option("--mil", help="Network: a file of wsi-embed eval mil --export.", show_default=False),
    ],
    out: Annotated[
        Path, typer.Option("--out", help="Folder for predictions and attention.", show_default=False)
    ],
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace earlier predictions in --out.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Predict the slides of a store with a trained multiple-instance network, without PyTorch.

    Writes a table of predictions, and attention that `wsi-embed plot --attention` draws. Exit code 1 if a
    slide could not be read.
    """
    from wsi_embed.cli.lines import echo, say, say_error
    from wsi_embed.cli.tables import show_facts
    from wsi_embed.cli.wording import in_flags, reworded
    from wsi_embed.evaluate.mil.predict import predict
    from wsi_embed.util.text import counted

    report = predict(store, mil, out, overwrite=overwrite)
    if as_json:
        values = {**asdict(report), "files": [str(path) for path in report.files]}
        typer.echo(json_text(reworded(values), indent=2))
    else:
        facts: dict[str, object] = {
            "method": report.metadata.method,
            "predicted": f"{counted(len(report.slides), 'slide')}: {_summary(report)}",
        }
        show_facts(facts, [])
        for note in report.notes:
            say(f"note: {in_flags(note)}")
        for path in report.files:
            echo(str(path))
    for message in report.failed.values():
        say_error(f"failed: {in_flags(message)}")
    if report.failed:
        raise typer.Exit(1)


def _summary(report: PredictionReport) -> str:
    """Return the number of slides of each class, or the lowest and highest number."""
    names, values = report.metadata.classes, [each.value for each in report.slides if each.value is not None]
    if values:
        return f"{names[0]} {min(values):.3g} to {max(values):.3g}"
    counts = Counter(slide.prediction for slide in report.slides)
    return ", ".join(f"{counts[name]} {name}" for name in names)
