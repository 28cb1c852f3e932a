"""The command that installs a missing extra, as the package itself was installed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from wsi_embed.errors import MissingExtraError
from wsi_embed.util import extras
from wsi_embed.util.extras import install_command, needs_extra


class Distribution:
    def __init__(self, source: Any) -> None:
        self.text = source if isinstance(source, str | None) else json.dumps(source)

    def read_text(self, name: str) -> str | None:
        assert name == "direct_url.json"
        return self.text


@pytest.mark.parametrize(
    ("source", "command"),
    [
        (None, "pip install 'wsi-embed[train]'"),
        ("not JSON", "pip install 'wsi-embed[train]'"),
        ([], "pip install 'wsi-embed[train]'"),
        ({"url": "file:///src/my%20copy", "dir_info": {}}, "pip install '/src/my copy[train]'"),
        ({"url": "file:///src/x", "dir_info": {"editable": True}}, "pip install -e '/src/x[train]'"),
        (
            {"url": "https://host/x.git", "vcs_info": {"vcs": "git", "commit_id": "abc"}},
            "pip install 'wsi-embed[train] @ git+https://host/x.git@abc'",
        ),
        (
            {"url": "file:///w/wsi_embed-1-py3-none-any.whl", "archive_info": {}},
            "pip install 'wsi-embed[train] @ file:///w/wsi_embed-1-py3-none-any.whl'",
        ),
    ],
)
def test_the_command_follows_the_installation(
    source: Any, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extras, "distribution", lambda name: Distribution(source))
    assert install_command("train") == command


def test_a_missing_module_names_the_extra() -> None:
    with pytest.raises(MissingExtraError) as error, needs_extra("mil", "a feature"):
        import a_module_that_no_one_has  # type: ignore[import-not-found]  # noqa: F401
    assert str(error.value) == (
        f"a feature needs a_module_that_no_one_has, which is not installed; {install_command('mil')}"
    )
