"""Findings of a job's report about its slides."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wsi_embed.errors import UsageError
from wsi_embed.util.text import argument


@dataclass(frozen=True)
class Finding:
    """Finding of a report about a slide.

    Attributes:
        slide: Slide file, relative to the job's input; empty if unknown.
        problem: Reason why the slide failed, or None.
        remedy: Advice on how to fix it, or None.
        warnings: Warnings, and deviations from the other slides.
    """

    slide: str = ""
    problem: str | None = None
    remedy: str | None = None
    warnings: tuple[str, ...] = ()


def read_report(path: Path) -> dict[str, Finding]:
    """Read the findings of a report by slide id.

    Args:
        path: Report that `wsi-embed embed --report` wrote as JSON.

    Raises:
        UsageError: If the file cannot be read, or is no such report.
    """
    try:
        document = json.loads(path.read_bytes())
        outliers = document.get("outliers", {})
        return {str(slide["slide_id"]): _finding(slide, outliers) for slide in document["slides"]}
    except OSError as error:
        raise UsageError(f"cannot be read ({error.strerror})", where=argument("report", path)) from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise UsageError(
            "is no report of a job in JSON",
            where=argument("report", path),
            remedy="give the .json file that wsi-embed embed wrote with `report=`",
        ) from error


def _finding(slide: dict[str, Any], outliers: dict[str, list[str]]) -> Finding:
    failed = slide.get("status") == "failed"
    problem = str(slide.get("problem") or slide.get("reason") or "failed") if failed else None
    remedy = slide.get("remedy") if failed else None
    warnings = [*slide.get("warnings", []), *outliers.get(slide["slide_id"], [])]
    return Finding(
        str(slide.get("slide", "")),
        problem,
        None if remedy is None else str(remedy),
        tuple(map(str, warnings)),
    )
