"""Connection to a Ray cluster, and the number of actors it has room for."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from wsi_embed.encoder.device import parse_device
from wsi_embed.errors import MissingExtraError, Stopped, UsageError
from wsi_embed.util.cpu import cpu_count
from wsi_embed.util.extras import install_command
from wsi_embed.util.text import argument

# More cores speed up an actor little: tissue detection and committing use one.
MOST_CORES = 4
# Slides and features never pass through Ray's object store, so its smallest size is enough.
OBJECT_STORE_BYTES = 80 * 1024**2
CONNECT_SECONDS = 5.0
# Connection preface of HTTP/2, which Ray uses (RFC 9113, 3.4), with empty settings; the server responds with
# a settings frame, type 4.
PREFACE, SETTINGS = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0", 4


def import_ray() -> Any:
    """Import Ray.

    Raises:
        MissingExtraError: If Ray is not installed.
    """
    try:
        import ray
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            "`engine='ray'` needs Ray, which is not installed", remedy=install_command("ray")
        ) from error
    return ray


@contextlib.contextmanager
def connected(address: str | None) -> Iterator[None]:
    """Connect this process to a Ray cluster.

    Args:
        address: `HOST:PORT`, `auto` (the cluster that this machine is part of), or `local` (a cluster on this
            machine that ends with the job). By default the environment's RAY_ADDRESS, which `ray job submit`
            sets, else `local`. An existing connection of the process is kept.

    Raises:
        MissingExtraError: If Ray is not installed.
        UsageError: If there is no such cluster.
        Stopped: If SIGTERM arrived while Ray was starting.
    """
    ray = import_ray()
    if ray.is_initialized():
        if address is not None:
            raise UsageError(
                "this process is connected to a Ray cluster already", where=argument("address", address)
            )
        yield
        return
    # keep Ray's own lines out of our standard output
    output = ray._private.worker
    enabled, output._worker_logs_enabled = getattr(output, "_worker_logs_enabled", True), False
    try:
        with _own_signals():
            _connect(ray, address)
        yield
    finally:
        ray.shutdown()
        output._worker_logs_enabled = enabled


def _connect(ray: Any, address: str | None) -> None:
    named = os.environ.get("RAY_ADDRESS")
    by_environment = named and not address
    address = address or named or "local"
    where = f"RAY_ADDRESS {address}" if by_environment else argument("address", address)
    if "://" in address:
        raise UsageError(
            "give HOST:PORT of the cluster's head; from outside of the cluster, start wsi-embed "
            "with `ray job submit` (docs/ray.md)",
            where=where,
        )
    quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
    try:
        if address != "local":
            _check_ray_listens(address)
            ray.init(address, **quiet)
            return
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
        ray.init(
            "local",
            num_cpus=cpu_count(),
            include_dashboard=False,
            object_store_memory=OBJECT_STORE_BYTES,
            **quiet,
        )
    except (OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        problem = "started here" if address == "local" else "reached there"
        reason = (str(error).strip() or type(error).__name__).splitlines()[0].partition(". ")[0]
        raise UsageError(f"no Ray cluster can be {problem} ({reason})", where=where) from error


def _check_ray_listens(address: str) -> None:
    """Check that Ray listens at an address; if it does not, Ray would retry for minutes.

    Raises:
        OSError: If nothing, or another program, listens there.
    """
    host, _, port = address.rpartition(":")
    if not (host and port.isdecimal()):
        return
    with socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS) as connection:
        if os.environ.get("RAY_USE_TLS", "0") != "0":
            return
        connection.sendall(PREFACE)
        response = connection.makefile("rb").read(4)
    if response[3:] != bytes([SETTINGS]):
        raise OSError("another program listens there")


@contextlib.contextmanager
def _own_signals() -> Iterator[None]:
    """Keep our SIGTERM handler: when Ray starts a cluster, it installs its own, which exits."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    except SystemExit as error:
        raise Stopped("stopped while Ray was starting", remedy="run the same command again") from error
    finally:
        signal.signal(signal.SIGTERM, before)


@dataclass(frozen=True)
class ActorPlan:
    """Number and resources of a job's actors.

    Attributes:
        count: Number of actors requested.
        room: Number that the cluster has room for now; the others wait until it grows.
        cores: CPU cores per actor.
        gpu: Whether each actor has a GPU.
    """

    count: int
    room: int
    cores: int
    gpu: bool

    def __str__(self) -> str:
        many = f"{self.count} Ray actor{'s' * (self.count != 1)}"
        cores = f"{self.cores} core{'s' * (self.cores != 1)}"
        text = f"{many} of {cores}{' and a GPU' if self.gpu else ''}"
        return text if self.room >= self.count else f"{text} (there is room for {self.room} now)"


def actors_device(device: str) -> tuple[str, bool]:
    """Return the device of each actor, and whether it is a GPU.

    Raises:
        DeviceError: If there is no such device.
        UsageError: If a particular GPU is named.
    """
    kind, _, which = device.partition(":")
    if kind in ("cuda", "tensorrt"):
        if which:
            raise UsageError(
                "with `engine='ray'` each actor gets a GPU",
                where=argument("device", device),
                remedy=f"say {kind} alone",
            )
        return device, True
    if device == "auto":
        gpu = any(node.get("GPU", 0) >= 1 for node in _nodes())
        return ("cuda", True) if gpu else ("cpu", False)
    return str(parse_device(device)), False


def plan_actors(gpu: bool, cores: int | None, actors: int | None) -> ActorPlan:
    """Plan the actors of a job by the room in the cluster.

    Args:
        gpu: Whether each actor gets a GPU.
        cores: Cores per actor; by default its share of a GPU machine's cores, or at most four of a CPU
            machine's.
        actors: Number of actors; by default as many as there is room for.

    Raises:
        UsageError: If there is no room, and `actors` does not say how many to wait for.
    """
    nodes = [(int(node.get("CPU", 0)), int(node.get("GPU", 0))) for node in _nodes()]
    fit = [(cpus, gpus) for cpus, gpus in nodes if cpus and (gpus or not gpu)]
    shares = [cpus // gpus if gpu else min(cpus, MOST_CORES) for cpus, gpus in fit]
    cores = cores or max(1, min(shares, default=1))
    room = sum(min(cpus // cores, gpus) if gpu else cpus // cores for cpus, gpus in fit)
    if not room and actors is None:
        wanted = f"{cores} core{'s' * (cores != 1)}{' and a GPU' if gpu else ''}"
        raise UsageError(
            f"no machine of the Ray cluster has {wanted} for an actor: fewer `workers=`, another `device=`, "
            "or `actors=N` to wait until the cluster grows"
        )
    return ActorPlan(actors or room, room, cores, gpu)


def _nodes() -> list[dict[str, float]]:
    """Return the resources of each machine."""
    return [node["Resources"] for node in import_ray().nodes() if node["Alive"]]
