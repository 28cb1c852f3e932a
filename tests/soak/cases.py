"""One disturbance at a time: a kill, a full disk, or a flipped bit, and what has to hold after it."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path

import wsi_embed
from tests.job_tools import invoke, no_room
from tests.soak.commands import Command, Inputs, commands, files
from wsi_embed.store import open_store

# What reads a store, of which no damage may make a traceback.
READERS = (
    ["info", "{store}", "--json"],
    ["convert", "{store}", "--to", "trident", "--out", "{out}"],
    ["plot", "{store}", "--geojson", "--out", "{out}"],
    ["eval", "clusters", "{store}", "--out", "{out}"],
    ["finalize", "{store}"],
)


class Soak:
    """Disturbances of all commands, each determined by a seed and its number.

    Args:
        folder: Empty folder to work in.
        seed: Seed of all cases.
    """

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder, self.seed = folder, seed
        self.inputs = Inputs.make(folder / "inputs")
        self.commands = commands(self.inputs)
        self._whole: dict[str, dict[str, bytes]] = {}
        self.kinds: dict[str, Callable[[random.Random, Path], tuple[str, str | None]]] = {
            "kills": self.kill,
            "faults": self.fault,
            "flips": self.flip,
        }

    def case(self, kind: str, number: int) -> tuple[str, str | None]:
        """Run a case; return the name of the command, and what was wrong or None."""
        rng = random.Random(f"{self.seed}:{kind}:{number}")
        out = self.folder / "out"
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir()
        return self.kinds[kind](rng, out)

    def kill(self, rng: random.Random, out: Path) -> tuple[str, str | None]:
        """Kill a command at one of its writes, and run it again."""
        command = rng.choice(self.commands)
        command.killed(out, int(2 ** rng.uniform(0, 8)))
        return command.name, self._is_whole_after(command, out)

    def fault(self, rng: random.Random, out: Path) -> tuple[str, str | None]:
        """Run a command on a disk that is full, and again when there is room."""
        command = rng.choice(self.commands)
        try:
            with no_room(int(2 ** rng.uniform(0, 17))):
                code = command.run(out)
        except Exception as error:
            return command.name, f"{type(error).__name__}: {error}"
        if code not in (0, 1, 2):
            return command.name, f"exit code {code} on a full disk"
        return command.name, self._is_whole_after(command, out)

    def flip(self, rng: random.Random, out: Path) -> tuple[str, str | None]:
        """Flip a bit of a store: `verify` finds it, and nothing that reads has a traceback."""
        store = self.inputs.store
        path = rng.choice(sorted(p for p in store.rglob("*") if p.is_file() and p.stat().st_size))
        content = path.read_bytes()
        place = rng.randrange(len(content))
        changed = bytearray(content)
        changed[place] ^= 1 << rng.randrange(8)
        path.write_bytes(changed)
        reader = rng.choice(READERS)
        try:
            found = self._is_found()
            typed = [part.format(store=store, out=out / "read") for part in reader]
            if reader[0] != "finalize":
                invoke(*typed)
            where = f"bit of byte {place} of {path.relative_to(store)}"
            return reader[0], None if found else f"verify does not find a {where}"
        except Exception as error:
            return reader[0], f"{type(error).__name__}: {error}"
        finally:
            path.write_bytes(content)

    def _is_found(self) -> bool:
        """Tell whether the damage is reported: as a problem, or as an error that names the store."""
        try:
            return bool(wsi_embed.verify(self.inputs.store)) or bool(
                open_store(self.inputs.store).incomplete()
            )
        except wsi_embed.WsiEmbedError:
            return True

    def _is_whole_after(self, command: Command, out: Path) -> str | None:
        """Run a command once more, and compare its output with that of a run without disturbance."""
        whole = self._undisturbed(command)
        if not (command.once and files(out).keys() == whole.keys()) and (code := command.run(out)):
            return f"exit code {code} when run again"
        found = files(out)
        if missing := sorted(whole.keys() - found.keys()):
            return f"{missing[0]} is missing"
        if extra := sorted(found.keys() - whole.keys()):
            return f"{extra[0]} is too much"
        if command.same and (other := sorted(name for name in whole if whole[name] != found[name])):
            return f"{other[0]} differs"
        store = out / "f.zarr"
        if store.exists() and (problems := wsi_embed.verify(store)):
            return f"{problems[0].where}: {problems[0].what}"
        return None

    def _undisturbed(self, command: Command) -> dict[str, bytes]:
        if command.name not in self._whole:
            out = self.folder / "whole"
            shutil.rmtree(out, ignore_errors=True)
            out.mkdir()
            assert command.run(out) == 0, command.name
            self._whole[command.name] = files(out)
        return self._whole[command.name]
