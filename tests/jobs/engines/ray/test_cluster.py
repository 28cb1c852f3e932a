"""Which actors a Ray cluster has room for, what an actor does, and what is refused before anything starts."""

from __future__ import annotations

import socket
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

import wsi_embed
from tests.job_tools import make_model, make_slides, run
from wsi_embed.errors import DeviceError, MissingExtraError, UsageError
from wsi_embed.jobs.engines import open_engine
from wsi_embed.jobs.engines.ray import cluster
from wsi_embed.jobs.engines.ray.cluster import ActorPlan, actors_device, plan_actors
from wsi_embed.jobs.options import JobOptions

SMALL, LARGE = {"CPU": 2.0}, {"CPU": 32.0}
HEAD, ONE_GPU, EIGHT_GPUS = {"memory": 1e9}, {"CPU": 16.0, "GPU": 1.0}, {"CPU": 128.0, "GPU": 8.0}


@pytest.mark.parametrize(
    ("nodes", "gpu", "cores", "actors", "expected"),
    [
        ([SMALL], False, None, None, ActorPlan(1, 1, 2, False)),
        ([LARGE], False, None, None, ActorPlan(8, 8, 4, False)),
        ([LARGE, SMALL], False, None, None, ActorPlan(17, 17, 2, False)),
        ([LARGE, SMALL], False, 8, None, ActorPlan(4, 4, 8, False)),
        ([HEAD, LARGE], False, None, 3, ActorPlan(3, 8, 4, False)),
        ([LARGE, EIGHT_GPUS], True, None, None, ActorPlan(8, 8, 16, True)),
        ([ONE_GPU, EIGHT_GPUS], True, None, None, ActorPlan(9, 9, 16, True)),
        ([ONE_GPU], True, None, 50, ActorPlan(50, 1, 16, True)),
        ([EIGHT_GPUS], True, 64, None, ActorPlan(2, 2, 64, True)),
        ([HEAD], False, 4, 2, ActorPlan(2, 0, 4, False)),
    ],
)
def test_actors_by_the_machines(
    nodes: list[dict[str, float]],
    gpu: bool,
    cores: int | None,
    actors: int | None,
    expected: ActorPlan,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cluster, "_nodes", lambda: nodes)
    assert plan_actors(gpu, cores, actors) == expected


@pytest.mark.parametrize(
    ("nodes", "gpu", "cores", "wanted"),
    [
        ([HEAD], False, None, "1 core for an actor"),
        ([SMALL], False, 4, "4 cores for an actor"),
        ([LARGE], True, None, "1 core and a GPU for an actor"),
    ],
)
def test_no_room_is_said(
    nodes: list[dict[str, float]],
    gpu: bool,
    cores: int | None,
    wanted: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cluster, "_nodes", lambda: nodes)
    with pytest.raises(UsageError, match=wanted):
        plan_actors(gpu, cores, None)


def test_devices_of_actors(monkeypatch: pytest.MonkeyPatch) -> None:
    for nodes, auto in (([LARGE, ONE_GPU], ("cuda", True)), ([LARGE, HEAD], ("cpu", False))):
        monkeypatch.setattr(cluster, "_nodes", lambda nodes=nodes: nodes)
        assert actors_device("auto") == auto
    assert actors_device("tensorrt") == ("tensorrt", True)
    assert actors_device("openvino:bf16") == ("openvino:bf16", False)
    for named in ("cuda:0", "cuda:all", "tensorrt:0,1"):
        with pytest.raises(UsageError, match="each actor gets a GPU"):
            actors_device(named)
    with pytest.raises(DeviceError, match="choose"):
        actors_device("tpu")


def test_a_crew_is_said_in_words() -> None:
    assert str(ActorPlan(1, 1, 1, False)) == "1 Ray actor of 1 core"
    assert str(ActorPlan(8, 3, 16, True)) == "8 Ray actors of 16 cores and a GPU (there is room for 3 now)"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"engine": "slurm"}, "`engine='slurm'`: choose local or ray"),
        ({"engine": "local", "address": "auto"}, "`address=` is of `engine='ray'`"),
        ({"engine": "local", "actors": 2}, "`actors=` is of `engine='ray'`"),
        ({"engine": "ray", "address": "ray://head:10001"}, "`address='ray://.*`ray job submit`"),
        ({"engine": "ray", "address": "127.0.0.1:9"}, "no Ray cluster can be reached there"),
        ({"engine": "ray", "address": "nonsense"}, "no Ray cluster can be reached there"),
    ],
)
def test_wrong_engines_are_one_line(options: dict[str, Any], says: str) -> None:
    if options["engine"] == "ray":
        pytest.importorskip("ray")
    with pytest.raises(UsageError, match=says) as refused, open_engine(JobOptions(**options)):
        pass
    assert len(str(refused.value).splitlines()) == 1


@pytest.mark.parametrize("answer", [b"HTTP/1.1 400 Bad Request\r\n", b""])
def test_another_program_at_the_address(answer: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that says something else, or nothing; `ray.init` tries it for minutes."""
    pytest.importorskip("ray")
    monkeypatch.setattr(cluster, "CONNECT_SECONDS", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{server.getsockname()[1]}")
        accepted = threading.Thread(target=lambda: server.accept()[0].sendall(answer))
        accepted.start()
        with (
            pytest.raises(UsageError, match=r"^RAY_ADDRESS 127.*no Ray cluster"),
            open_engine(JobOptions(engine="ray")),
        ):
            pass
        accepted.join()


def test_a_cluster_that_wants_a_token(tmp_path: Path) -> None:
    """In a process of its own: Ray looks for a token once."""
    pytest.importorskip("ray")
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(20)
        address = f"127.0.0.1:{server.getsockname()[1]}"
        greeter = threading.Thread(target=lambda: server.accept()[0].sendall(b"\0\0\0\4"))
        greeter.start()
        slides = make_slides(tmp_path / "slides", count=1, side=160)
        options = ["--out", str(tmp_path / "f.zarr"), "--engine", "ray", "--address", address]
        done = run(slides, *options, env={"HOME": str(tmp_path), "RAY_AUTH_MODE": "token"})
        greeter.join()
    assert done.returncode == 2
    assert (
        "no Ray cluster can be reached there (Token authentication is enabled but"
        in done.stdout + done.stderr
    )
    assert "Traceback" not in done.stderr


def test_a_loaded_encoder_cannot_be_sent(tmp_path: Path) -> None:
    slides = make_slides(tmp_path / "slides", count=1, side=160)
    encoder = wsi_embed.load_encoder(make_model(tmp_path / "model"))
    with pytest.raises(UsageError, match="give the path of its file"):
        wsi_embed.embed(slides, tmp_path / "f.zarr", model=encoder, engine="ray")
    assert not (tmp_path / "f.zarr").exists()


def test_without_ray_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with (
        pytest.raises(MissingExtraError, match=r"\[ray\]"),
        open_engine(JobOptions(engine="ray")),
    ):
        pass
