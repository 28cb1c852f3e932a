"""The commands `wsi-embed eval ...`: evaluation of features."""

from __future__ import annotations

import typer

from wsi_embed.cli.command import Command, Group
from wsi_embed.cli.eval import clusters, knn, mil

app = typer.Typer(cls=Group, help="Evaluate features: on tiles, on bags, by clusters.")
app.command("knn", cls=Command)(knn.command)
app.command("mil", cls=Command)(mil.command)
app.command("clusters", cls=Command)(clusters.command)
