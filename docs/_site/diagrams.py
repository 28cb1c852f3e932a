"""The diagrams of the page on concepts, written to `docs/assets` as SVG: `python docs/_site/diagrams.py`."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path

ASSETS = Path(__file__).parents[1] / "assets"
FONT = "system-ui, 'Segoe UI', 'Helvetica Neue', Arial, sans-serif"
INK, LINE, PAPER, TINT = "#26453f", "#8aa39d", "#ffffff", "#eef4f2"
WIDTH, HEIGHT = 150, 74
GAP = 46


def main() -> None:
    """Write the diagrams."""
    ASSETS.mkdir(exist_ok=True)
    steps = [
        ("slides", "any format,", "any scanner"),
        ("tiles", "tissue only, of", "one size in um"),
        ("encoder", "one file: ONNX", "or TorchScript"),
        ("store", "features, clusters,", "positions"),
        ("bags", "one for each slide", "or patient"),
    ]
    (ASSETS / "pipeline.svg").write_text(row(steps), "utf-8")
    parts = [
        ("raw tile", "uint8, RGB,", "[B, H, W, 3]"),
        ("normalise", "mean and std", "of the encoder"),
        ("network", "fp32, fp16", "or int8"),
        ("features", "float32", "[B, D]"),
        ("cluster head", "cluster and", "confidence"),
    ]
    (ASSETS / "model.svg").write_text(row(parts), "utf-8")
    asked = [
        ("slide", "size, and samples", "of its content"),
        ("settings", "tile size, mpp,", "tissue, regions"),
        ("model", "digest of weights", "and graph"),
        ("fingerprint", "stored with", "the slide"),
    ]
    (ASSETS / "fingerprint.svg").write_text(row(asked, "++="), "utf-8")


def row(boxes: Sequence[tuple[str, str, str]], between: str = "") -> str:
    """Return a picture of boxes side by side.

    Args:
        boxes: Title and two lines of text of each box.
        between: A sign to draw after each box but the last; arrows if empty.
    """
    width = len(boxes) * WIDTH + (len(boxes) - 1) * GAP + 2
    parts = []
    for number, (title, *lines) in enumerate(boxes):
        x = 1 + number * (WIDTH + GAP)
        parts.append(
            f'<rect x="{x}" y="1" width="{WIDTH}" height="{HEIGHT}" rx="6" fill="{TINT}" stroke="{LINE}"/>'
            + text(x + WIDTH / 2, 25, title, "font-weight='600' font-size='15'")
            + "".join(
                text(x + WIDTH / 2, 45 + 17 * n, line, "font-size='13'") for n, line in enumerate(lines)
            )
        )
        if number + 1 < len(boxes):
            parts.append(link(x + WIDTH, between[number : number + 1]))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {HEIGHT + 2}" role="img" '
        f'font-family="{FONT}" fill="{INK}">'
        f'<rect width="{width}" height="{HEIGHT + 2}" fill="{PAPER}"/>{"".join(parts)}</svg>\n'
    )


def link(x: float, sign: str) -> str:
    """Return a sign, or an arrow to the right, in the gap that begins at x."""
    middle = 1 + HEIGHT / 2
    if sign:
        return text(x + GAP / 2, middle + 6, sign, "font-size='20'")
    end = x + GAP - 8
    head = f"M {end - 7} {middle - 5} L {end} {middle} L {end - 7} {middle + 5}"
    return f'<path d="M {x + 8} {middle} H {end} {head}" fill="none" stroke="{INK}" stroke-width="1.6"/>'


def text(x: float, y: float, content: str, style: str) -> str:
    """Return centred text."""
    return f"<text x='{x:g}' y='{y:g}' text-anchor='middle' {style}>{escape(content)}</text>"


if __name__ == "__main__":
    main()
