"""Deep-zoom tiles of `wsi-embed view` for many people at once: `python benchmarks/viewer.py STORE SLIDES`.

Each viewer looks at screens of a slide, one after the other: it asks for the tiles of a screen over six
connections, as a browser does, and then looks at it for a moment.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

ACROSS, DOWN, CONNECTIONS = 4, 3, 6


async def fetch(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: str) -> float:
    """Fetch a tile over an open connection; return the seconds that it took."""
    started = time.perf_counter()
    writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    head = await reader.readuntil(b"\r\n\r\n")
    if b" 200 " not in head[:20]:
        raise RuntimeError(head.decode("latin-1"))
    (length,) = (line for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:"))
    await reader.readexactly(int(length.split(b":")[1]))
    return time.perf_counter() - started


def screens(base: str, facts: dict[str, Any], rng: random.Random) -> list[list[str]]:
    """Return the paths of the tiles of screens: zooming in at random places."""
    found = []
    for level in range(2, facts["levels"]):
        factor = 2 ** (facts["levels"] - 1 - level)
        columns, rows = (-(-facts[side] // (factor * facts["tile"])) for side in ("width", "height"))
        left, top = rng.randrange(max(1, columns - ACROSS + 1)), rng.randrange(max(1, rows - DOWN + 1))
        found.append(
            [
                f"{base}/pyramid/{level}/{column}_{row}.jpg"
                for column in range(left, min(columns, left + ACROSS))
                for row in range(top, min(rows, top + DOWN))
            ]
        )
    return found


async def look(
    port: int, slides: dict[str, dict[str, Any]], seconds: float, pause: float, seed: int
) -> list[float]:
    """Be one viewer for some seconds; return the seconds of each tile."""
    rng, times, waiting = random.Random(seed), list[float](), list[str]()
    opened = [await asyncio.open_connection("127.0.0.1", port) for _ in range(CONNECTIONS)]

    async def connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while waiting:
            times.append(await fetch(reader, writer, waiting.pop()))

    await asyncio.sleep(rng.uniform(0, pause))
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        base, facts = rng.choice(list(slides.items()))
        for screen in screens(base, facts, rng):
            waiting[:] = screen
            await asyncio.gather(*(connection(*each) for each in opened))
            await asyncio.sleep(pause)
    for _, writer in opened:
        writer.close()
    return times


def get(url: str) -> Any:
    """Return a JSON value of the server."""
    return json.loads(urllib.request.urlopen(url).read())


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process so far, seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident(pid: int) -> float:
    """Return the largest resident memory of a process so far, MiB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def main() -> None:
    """Start the server, look at its slides, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("store")
    parser.add_argument("slides")
    parser.add_argument("--viewers", type=int, nargs="+", default=[1, 10, 50])
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--pause", type=float, default=2, help="seconds between screens")
    given = parser.parse_args()
    command = [
        sys.executable,
        "-m",
        "wsi_embed",
        "view",
        given.store,
        "--slides",
        given.slides,
        "--port",
        "0",
    ]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        url = server.stdout.readline().split()[0]
        listed = get(f"{url}api/stores/0/slides")["slides"]
        paths = [f"/api/stores/0/slides/{line['key']}" for line in listed if line["picture"]]
        slides = {path: get(url + path.lstrip("/")) for path in paths}
        print("viewers   tiles/s   p50 ms   p95 ms   p99 ms   CPU ms a tile   memory MiB")
        for viewers in given.viewers:
            asyncio.run(measure(viewers, int(url.rstrip("/").rsplit(":")[-1]), slides, given, server.pid))
    finally:
        server.terminate()
        server.wait()


async def measure(
    viewers: int, port: int, slides: dict[str, dict[str, Any]], given: argparse.Namespace, pid: int
) -> None:
    """Let several viewers look, and print a row."""
    before = cpu_seconds(pid)
    looking = (look(port, slides, given.seconds, given.pause, seed) for seed in range(viewers))
    times = sorted(seconds for one in await asyncio.gather(*looking) for seconds in one)
    cpu = 1000 * (cpu_seconds(pid) - before) / len(times)
    ranks = (1000 * times[int(share * (len(times) - 1))] for share in (0.5, 0.95, 0.99))
    row = "".join(f"{ms:9.1f}" for ms in ranks)
    print(f"{viewers:7} {len(times) / given.seconds:9.0f}{row}{cpu:16.2f}{resident(pid):13.0f}")


if __name__ == "__main__":
    main()
