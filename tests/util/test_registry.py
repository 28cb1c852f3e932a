from __future__ import annotations

import collections
import subprocess
import sys
from pathlib import Path

import pytest

from tests.made_packages import Packages
from wsi_embed.errors import UsageError
from wsi_embed.util.registry import Registry

GROUP = "made.kinds"


def made(**options: str) -> Registry[type]:
    places = {"counter": "collections:Counter", "ordered": "collections:OrderedDict"}
    return Registry("kind", places, group=GROUP, **options)  # type: ignore[arg-type]


def test_a_name_is_its_class() -> None:
    assert made().get("counter") is collections.Counter
    assert made().get("ordered") is collections.OrderedDict


def test_names_are_in_the_order_of_the_package() -> None:
    assert made().names() == ("counter", "ordered")
    assert list(made()) == ["counter", "ordered"]
    assert "counter" in made()
    assert "list" not in made()


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("conter", "`kind='conter'`: choose counter or ordered; did you mean counter?"),
        ("zzz", "`kind='zzz'`: choose counter or ordered"),
        ("", "`kind=''`: choose counter or ordered"),
    ],
)
def test_an_unknown_name_is_refused_with_all_names_and_the_nearest(name: str, says: str) -> None:
    for ask in (made().get, made().check):
        with pytest.raises(UsageError) as refused:
            ask(name)
        assert str(refused.value) == says


def test_an_empty_registry_says_so() -> None:
    with pytest.raises(UsageError, match="`kind='a'`: choose nothing: there are none"):
        Registry[type]("kind", {}).get("a")


def test_names_are_listed_as_users_type_them() -> None:
    kinds = Registry[type]("kind", {"a": "a:A", "model": "b:B"}, typed={"model": "model:FILE"})
    with pytest.raises(UsageError, match="choose a or model:FILE; did you mean model:FILE"):
        kinds.get("model:FIL")


def test_another_package_adds_a_kind(packages: Packages) -> None:
    code = "import collections\nclass Mine(collections.Counter): pass"
    packages.install("made_mine", f"{GROUP}: mine = made_mine:Mine", code=code, version="2.3")
    kinds = made(base="collections:Counter")
    assert kinds.names() == ("counter", "ordered", "mine")
    assert "mine" in kinds
    assert kinds.get("mine").__name__ == "Mine"
    assert kinds.version_of("mine") == {"made_mine": "2.3"}
    assert kinds.version_of("counter") == {}
    kinds.check("mine")
    with pytest.raises(UsageError, match=r"choose counter, ordered or mine; did you mean mine\?"):
        kinds.get("mined")


def test_a_registry_without_a_group_takes_none(packages: Packages) -> None:
    packages.install("made_mine", "None: mine = made_mine:Mine")
    assert Registry("kind", {"counter": "collections:Counter"}).names() == ("counter",)


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("import no_such_module", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("", "AttributeError: module 'made_ill' has no attribute 'Ill'"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("def Ill(): pass", "made_ill:Ill is no subclass of Counter"),
        ("class Ill: pass", "made_ill:Ill is no subclass of Counter"),
        ("raise RuntimeError('two\\nlines')", "RuntimeError: two lines"),
    ],
)
def test_a_kind_that_cannot_be_imported_is_an_error_when_it_is_used(
    packages: Packages, code: str, why: str
) -> None:
    packages.install("made_ill", f"{GROUP}: ill = made_ill:Ill", code=code)
    kinds = made(base="collections:Counter")
    assert kinds.names() == ("counter", "ordered", "ill")
    assert kinds.get("counter") is collections.Counter
    for ask in (kinds.get, kinds.check):
        sys.modules.pop("made_ill", None)
        with pytest.raises(UsageError) as refused:
            ask("ill")
        says = f"`kind='ill'`: made_ill 1.0 cannot be used ({why}); update or uninstall it"
        assert str(refused.value) == says


def test_a_name_of_two_packages_is_an_error_when_it_is_used(packages: Packages) -> None:
    packages.install("made_a", f"{GROUP}: mine = made_a:A", f"{GROUP}: counter = made_a:A")
    packages.install("made_b", f"{GROUP}: mine = made_b:B", version="2.0")
    kinds = made()
    assert kinds.names() == ("counter", "ordered", "mine")
    assert kinds.get("ordered") is collections.OrderedDict
    for name, owners in {
        "mine": {"made_a 1.0", "made_b 2.0"},
        "counter": {"wsi-embed", "made_a 1.0"},
    }.items():
        for ask in (kinds.get, kinds.check):
            with pytest.raises(UsageError, match=rf"^`kind='{name}'`: .* both have it") as refused:
                ask(name)
            assert set(str(refused.value).split(" both")[0].split(": ")[1].split(" and ")) == owners


def test_damaged_metadata_of_other_packages_do_not_matter(packages: Packages) -> None:
    for number, content in enumerate((b"[a]\nx = \xff:z\n", b"no section", b"[a]\nno value", b"")):
        folder = packages.folder / f"made_damaged{number}-1.0.dist-info"
        folder.mkdir()
        (folder / "entry_points.txt").write_bytes(content)
    nameless = packages.folder / "made_nameless-1.0.dist-info"
    nameless.mkdir()
    (nameless / "entry_points.txt").write_text(f"[{GROUP}]\nnameless = made_nameless:A\n")
    packages.install("made_mine", f"{GROUP}: mine = made_mine:Mine", code="class Mine: pass")
    assert "mine" in made()
    assert made().get("mine").__name__ == "Mine"
    assert made().get("counter") is collections.Counter


def test_two_copies_of_a_package_are_one(
    packages: Packages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packages.install("made_mine", f"{GROUP}: mine = made_mine:Mine", code="class Mine: pass")
    other = tmp_path / "other"
    other.mkdir()
    monkeypatch.syspath_prepend(other)
    Packages(other).install("made_mine", f"{GROUP}: mine = made_mine:Mine", code="class Mine: new = True")
    assert made().get("mine").new  # type: ignore[attr-defined]


def test_nothing_is_imported_or_looked_up_before_a_name_is_asked_for() -> None:
    code = (
        "import sys\n"
        "from wsi_embed.util.registry import Registry\n"
        "kinds = Registry('kind', {'number': 'fractions:Fraction'}, group='made.kinds')\n"
        "assert not {'importlib.metadata', 'fractions'} & sys.modules.keys()\n"
        "kinds.check('number')\n"
        "assert 'fractions' not in sys.modules\n"
        "assert kinds.get('number').__name__ == 'Fraction'\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
