"""`wsi-embed eval ...`: how good are features?"""

from __future__ import annotations

import typer

from wsi_embed.cli.eval import clusters, knn, mil

app = typer.Typer(help="Say how good features are: on tiles, on bags, by clusters.", no_args_is_help=True)
app.command("knn")(knn.command)
app.command("mil")(mil.command)
app.command("clusters")(clusters.command)
