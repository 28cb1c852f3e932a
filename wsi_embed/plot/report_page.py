"""HTML report of a job in one self-contained page: failures with remedies, warnings, and every slide."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path

from PIL import Image

from wsi_embed.jobs.report import JobReport, SlideResult, shown_name, write_whole
from wsi_embed.plot.report_pictures import Legend, Pictures
from wsi_embed.util.text import counted, in_words, percent, with_content

STAGES = {"tissue": "#7a9e48", "read": "#3b76af", "encode": "#c8643c", "write": "#8a6bb0"}

BUG = "this is a bug: report it with the traceback"
STYLE = Path(__file__).with_name("report_page.css")


def write_html(
    report: JobReport, path: Path, pictures: Pictures | None = None, legend: Legend | None = None
) -> None:
    """Write the report as a page that loads no other files.

    Args:
        report: Report of the job.
        path: File to write.
        pictures: Captions and pictures by slide id.
        legend: Colours of the clusters in the pictures, by name.

    Raises:
        WsiEmbedError: If the file cannot be written.
    """
    parts = [
        _head(report),
        _failures(report),
        _odd(report),
        _slides(report, pictures or {}, legend or {}),
        _facts(report),
    ]
    title = escape(f"wsi-embed: {report.store}")
    page = (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{title}</title><style>\n{STYLE.read_text('utf-8')}</style></head>\n<body>\n{''.join(parts)}</body></html>\n"
    )
    write_whole(path, page)


def _head(report: JobReport) -> str:
    tiles = "".join(
        f'<div class="tile {kind}"><b>{count}</b>{name}</div>'
        for name, count, kind in _numbers(report)
        if count or name in ("done", "tiles")
    )
    how = f", {report.model['name']} on {report.model['device']}" if report.model else ""
    note = " <b>This is the demonstration model.</b>" if report.model.get("demonstration") else ""
    if report.model.get("non_commercial"):
        note += f" <b>The model is for non-commercial use only ({escape(report.model['licence'])}).</b>"
    end = "Stopped early: run the same command again to go on." if report.stopped else report.error
    stopped = f'<p class="failed">{escape(end)}</p>' if end else ""
    return (
        f"<h1>{escape(report.store)}</h1>\n"
        f'<p class="sub">{escape(report.started)}, {report.seconds:.1f} s{escape(how)}.{note}</p>'
        f'{stopped}<div class="tiles">{tiles}</div>\n'
    )


def _numbers(report: JobReport) -> list[tuple[str, int, str]]:
    odd = sum(1 for s in report.slides if s.warnings or s.slide_id in report.outliers)
    summary = report.summary()
    kinds = {"failed": "bad", "stopped": "odd"}
    names = ("done", "skipped", "failed", "stopped", "planned")
    counts = [(name, summary[name], kinds.get(name, "")) for name in names]
    tiles = ("tiles planned", report.planned_tiles) if report.planned_tiles else ("tiles", report.tiles)
    return [*counts, ("to look at", odd, "odd"), (*tiles, "")]


def _failures(report: JobReport) -> str:
    failed = [s for s in report.slides if s.status == "failed"]
    if not failed:
        return ""
    rows = "".join(
        f"<tr><td>{escape(shown_name(s))}</td><td>{escape(s.problem or s.reason or '')}{_traceback(s)}</td>"
        f"<td>{escape(BUG if s.traceback else s.remedy or '')}</td></tr>\n"
        for s in failed
    )
    head = "<tr><th>slide</th><th>what is wrong</th><th>what to do</th></tr>"
    return f"<h2>Failed</h2>\n<table>{head}\n{rows}</table>\n"


def _traceback(result: SlideResult) -> str:
    if not result.traceback:
        return ""
    return f"<details><summary>traceback</summary><pre>{escape(result.traceback)}</pre></details>"


def _odd(report: JobReport) -> str:
    rows = "".join(
        f"<tr><td>{escape(shown_name(s))}</td><td>{'<br>'.join(map(escape, texts))}</td></tr>\n"
        for s in report.slides
        if (texts := [*s.warnings, *_left_out(s), *report.outliers.get(s.slide_id, [])])
    )
    return f"<h2>To look at</h2>\n<table>{rows}</table>\n" if rows else ""


def _left_out(result: SlideResult) -> list[str]:
    return [f"no level of the slide: {text}" for text in result.left_out]


def _slides(report: JobReport, pictures: Pictures, legend: Legend) -> str:
    """Format slides with pictures one by one, the others as a table."""
    drawn = [s for s in report.slides if s.slide_id in pictures]
    rest = [s for s in report.slides if s.slide_id not in pictures and s.status != "failed"]
    key = "".join(f'<span style="background:{colour}"></span>{name}' for name, colour in STAGES.items())
    parts = ["<h2>Slides</h2>\n"]
    if drawn:
        parts.append(f'<p class="key">Seconds by stage (they overlap):{key}</p>\n')
        if legend:
            parts.append(f'<p class="key">Clusters:{_chips(legend)}</p>\n')
        parts += [_drawn(s, pictures[s.slide_id]) for s in drawn]
    if rest:
        parts.append(_table(rest))
    return "".join(parts)


def _chips(legend: Legend) -> str:
    """Format colours with their names; a name is not broken."""
    return " ".join(
        f'<span style="background:rgb{colour}"></span><span class="name">{escape(name)}</span>'
        for name, colour in legend.items()
    )


def _drawn(result: SlideResult, pictures: Sequence[tuple[str, Image.Image]]) -> str:
    figures = "".join(
        f'<figure><img src="{_data_uri(image)}" alt="{escape(shown_name(result))}: {escape(caption)}" '
        f'width="{image.width}" height="{image.height}"><figcaption>{escape(caption)}</figcaption></figure>'
        for caption, image in pictures
    )
    facts = ", ".join(_known(result))
    file = "" if result.slide == shown_name(result) else f'<p class="sub">{escape(result.slide)}</p>'
    return (
        f'<div class="slide"><div><h3>{escape(shown_name(result))}</h3>{file}'
        f'<span class="{result.status}">{result.status}</span>: {facts}{_bar(result)}</div>'
        f"<div>{figures}</div></div>\n"
    )


def _known(result: SlideResult) -> Iterator[str]:
    yield counted(result.tiles, "tile")
    if result.tissue is not None:
        yield f"{100 * result.tissue:.3g} % tissue"
    if result.mpp is not None:
        yield f"{result.mpp:.4g} µm per pixel"
    if result.read_level is not None:
        yield f"level {result.read_level}"
    if result.near_empty:
        yield f"{percent(result.near_empty)} of the tiles nearly empty"
    if result.blurred:
        yield f"{percent(result.blurred)} of the tiles blurred"
    if result.poor_tiles:
        yield f"{counted(result.poor_tiles, 'tile')} left out for their quality"
    if result.bad_tiles:
        yield f"{counted(result.bad_tiles, 'tile')} unreadable, taken as white"
    if "total" in result.seconds:
        yield f"{result.seconds['total']:.1f} s"


def _bar(result: SlideResult) -> str:
    total = sum(result.seconds.get(name, 0.0) for name in STAGES)
    if not total:
        return ""
    spans = "".join(
        f'<span style="width:{100 * result.seconds.get(n, 0.0) / total:.1f}%;background:{c}"></span>'
        for n, c in STAGES.items()
    )
    text = ", ".join(f"{n} {result.seconds[n]:.1f}" for n in STAGES if n in result.seconds)
    return f'<div class="bar">{spans}</div><span class="key">{text} s</span>'


def _table(slides: Sequence[SlideResult]) -> str:
    names = ("tissue", "read", "encode", "write", "total")
    head = "".join(f'<th class="n">{n} s</th>' for n in names)
    rows = "".join(
        f'<tr><td>{escape(shown_name(s))}</td><td class="{s.status}">{s.status}</td>'
        f'<td class="n">{s.tiles}</td>'
        + "".join(f'<td class="n">{s.seconds[n]:.1f}</td>' if n in s.seconds else "<td></td>" for n in names)
        + "</tr>\n"
        for s in slides
    )
    return f'<table><tr><th>slide</th><th>status</th><th class="n">tiles</th>{head}</tr>\n{rows}</table>\n'


def _facts(report: JobReport) -> str:
    model = {k if k.startswith("model") else f"model {k}": v for k, v in report.model.items()}
    facts = {**model, **report.settings, **report.versions}
    shown = {k.replace("_", " "): in_words(v) for k, v in with_content(facts).items()}
    rows = "".join(f"<dt>{escape(k)}</dt><dd>{escape(v)}</dd>\n" for k, v in shown.items())
    return f"<h2>Settings and versions</h2>\n<dl>{rows}</dl>\n"


def _data_uri(image: Image.Image) -> str:
    buffer = io.BytesIO()
    image.convert("RGB").save(buffer, "JPEG", quality=82)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
