"""Plot of the figures of a run over its steps (`curves.png`)."""

from __future__ import annotations

from pathlib import Path

from wsi_embed.util.atomic_files import replacing
from wsi_embed_train.metrics_file import read_metrics

# Heading of each panel, and the columns drawn in it.
PANELS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("loss", ("loss",)),
    ("terms of the loss", ("invariance", "swapped_prediction", "redundancy", "instance",
                           "prototype", "contrast", "cross_entropy", "accuracy")),
    ("similarity of the clusters", ("cluster_similarity",)),
    ("effective rank of the features", ("effective_rank",)),
    ("spread of the features (1: even)", ("feature_std",)),
    ("clusters used in a batch", ("clusters_used", "clusters_noisy")),
    ("assignment: shares", ("largest_share", "assignment_entropy", "noise_kept")),
    ("margin of the logits", ("logit_margin",)),
    ("nearest neighbour, macro F1", ("knn_f1",)),
    ("learning rate", ("lr",)),
    ("images per second", ("images_per_s",)),
)  # fmt: skip


def draw_curves(metrics: Path, out: Path, title: str) -> None:
    """Plot the columns of a `metrics.csv` over steps.

    Args:
        metrics: The CSV file.
        out: PNG file to write.
        title: Title of the figure.
    """
    import matplotlib.figure

    rows = read_metrics(metrics)
    has = {name for row in rows for name in row}
    panels = [(head, [n for n in names if n in has]) for head, names in PANELS]
    panels = [(head, names) for head, names in panels if names]
    columns = min(3, len(panels))
    lines = -(-len(panels) // columns)
    width, height = 4.2 * columns, 2.7 * lines + 0.5
    figure = matplotlib.figure.Figure(figsize=(width, height))
    figure.suptitle(title)
    # margins in inches; Matplotlib's automatic layouts draw everything twice
    figure.subplots_adjust(
        0.6 / width, 0.5 / height, 1 - 0.15 / width, 1 - 0.75 / height, wspace=0.18, hspace=0.38
    )
    axes = figure.subplots(lines, columns, squeeze=False).ravel()
    for axis, (head, names) in zip(axes, panels, strict=False):
        for name in names:
            points = [(row["step"], row[name]) for row in rows if name in row]
            marker = "." if len(points) < 40 else None
            axis.plot(*zip(*points, strict=True), label=name.replace("_", " "), marker=marker, linewidth=1.2)
        axis.set_title(head, fontsize=10)
        axis.grid(alpha=0.3)
        axis.set_xlabel("step", fontsize=8)
        axis.tick_params(labelsize=8)
        if len(names) > 1:
            axis.legend(fontsize=7)
    for axis in axes[len(panels) :]:
        axis.remove()
    with replacing(out) as temporary:
        figure.savefig(temporary, dpi=110, format="png")
