"""`wsi-embed predict STORE --mil FILE.onnx --out DIR`."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from wsi_embed.cli.options import StorePlace
from wsi_embed.util.json_text import json_text


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
    from wsi_embed.cli.lines import echo, say_error
    from wsi_embed.cli.tables import show_facts
    from wsi_embed.cli.wording import in_flags, reworded
    from wsi_embed.evaluate.mil.predict import predict
    from wsi_embed.util.text import counted

    report = predict(store, mil, out, overwrite=overwrite)
    if as_json:
        values = {**asdict(report), "files": [str(path) for path in report.files]}
        typer.echo(json_text(reworded(values), indent=2))
    else:
        counts = Counter(slide.prediction for slide in report.slides)
        shares = ", ".join(f"{counts[name]} {name}" for name in report.metadata.classes)
        facts: dict[str, object] = {
            "method": report.metadata.method,
            "predicted": f"{counted(len(report.slides), 'slide')}: {shares}",
        }
        show_facts(facts, [])
        for note in report.notes:
            echo(f"note: {in_flags(note)}")
        for path in report.files:
            echo(str(path))
    for message in report.failed.values():
        say_error(f"failed: {in_flags(message)}")
    if report.failed:
        raise typer.Exit(1)
