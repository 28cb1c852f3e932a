"""Tissue detection by an ONNX segmentation network on the low-resolution view (contract: docs/tissue.md)."""

from __future__ import annotations

import functools
import threading
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from wsi_embed.errors import ModelError, SlideError, UsageError
from wsi_embed.slide.base import UInt8Array
from wsi_embed.tissue.network_files import State, network_digest, network_states
from wsi_embed.tissue.network_metadata import KEY, read_defaults
from wsi_embed.tissue.recipe import TissueRecipe
from wsi_embed.tissue.windows import MULTIPLE, windows
from wsi_embed.util.cpu import cpu_count
from wsi_embed.util.text import argument, counted

FLOAT32, UINT8 = "tensor(float)", "tensor(uint8)"
Float32Array = npt.NDArray[np.float32]

_loading = threading.Lock()


class TissueNetwork:
    """Loaded segmentation network, usable from several threads.

    Args:
        path: The `.onnx` file.

    Attributes:
        path: The file.
        sha256: First 16 digits of the SHA-256 of its contents and of its external weight files.
        defaults: Settings in its metadata.

    Raises:
        ModelError: If the file is missing, is not ONNX, or does not follow the contract.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.sha256 = network_digest(path)
        ort.set_default_logger_severity(4)  # of the process: some warnings are of no session
        options = ort.SessionOptions()
        options.intra_op_num_threads = cpu_count()
        options.log_severity_level = 4
        try:
            # by path, because weights may be in a separate file
            self._session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:
            raise ModelError(
                f"not a network that ONNX Runtime {ort.__version__} can load ({error})", where=path.name
            ) from error
        self._read_input()
        text = self._session.get_modelmeta().custom_metadata_map.get(KEY)
        self.defaults = {} if text is None else read_defaults(text, path.name)

    def _read_input(self) -> None:
        inputs = self._session.get_inputs()
        shape = list(inputs[0].shape) if len(inputs) == 1 else []
        channels_first, channels_last = shape[1:2] == [3], shape[3:4] == [3]
        kind = inputs[0].type if inputs else ""
        if len(shape) != 4 or channels_first == channels_last or kind not in (FLOAT32, UINT8):
            found = ", ".join(f"{i.name} {i.type} {i.shape}" for i in inputs)
            raise ModelError(
                f"takes {found}",
                where=self.path.name,
                remedy="a tissue network takes one tensor of RGB, float32 or uint8, [1, 3, h, w] or "
                "[1, h, w, 3]",
            )
        if isinstance(shape[0], int) and shape[0] != 1:
            raise ModelError(
                f"takes {shape[0]} images at once",
                where=self.path.name,
                remedy="export it with batch 1 or dynamic",
            )
        self._name, self._kind, self._channels_first = inputs[0].name, kind, channels_first
        sides = shape[2:] if channels_first else shape[1:3]
        self._fixed = [side if isinstance(side, int) and side > 0 else None for side in sides]

    def check_settings(self, settings: dict[str, Any]) -> None:
        """Refuse settings without effect.

        Raises:
            UsageError: If mean or standard deviation is set for a network that takes raw pixels.
        """
        raw = sorted({"mean", "std"} & settings.keys()) if self._kind == UINT8 else []
        if raw:
            raise UsageError(
                f"{self.path.name} takes raw pixels (uint8), nothing is subtracted",
                where=argument("tissue_set", raw[:1]),
            )

    def try_out(self, recipe: TissueRecipe, channel_given: bool) -> None:
        """Run the network on a white image to check its output.

        Args:
            recipe: Recipe with the settings of the network.
            channel_given: Whether the output channel of tissue is set.

        Raises:
            ModelError: If the output does not follow the contract.
        """
        side = [fixed or 8 * MULTIPLE for fixed in self._fixed]
        try:
            out = self._run(np.full((*side, 3), 255, np.uint8), recipe)
        except SlideError as error:
            raise ModelError(error.what, where=error.where, remedy=error.remedy) from error
        except ModelError:
            raise
        except Exception as error:
            raise ModelError(
                f"cannot run on {side[1]} x {side[0]} pixels ({error})", where=self.path.name
            ) from error
        if out.shape[0] > 1 and not channel_given:
            choice = (
                f"choose those that are tissue by `tissue_set=['keep=...']` from {', '.join(recipe.classes)}"
                if recipe.classes
                else "choose the one for tissue, as in `tissue_set=['channel=1']`, or name its `classes` and "
                "those to `keep`"
            )
            raise ModelError(f"has {out.shape[0]} outputs per pixel", where=self.path.name, remedy=choice)

    def _run(self, pixels: UInt8Array, recipe: TissueRecipe) -> Float32Array:
        """Return the probabilities of a window, float32 [C, h, w], at the same or a lower resolution."""
        image: npt.NDArray[Any] = pixels
        if self._kind == FLOAT32:
            mean, std = np.asarray(recipe.mean, np.float32), np.asarray(recipe.std, np.float32)
            image = (pixels.astype(np.float32) / 255 - mean) / std
        if self._channels_first:
            image = image.transpose(2, 0, 1)
        out = np.asarray(
            self._session.run(None, {self._name: np.ascontiguousarray(image[None])})[0], np.float32
        )
        height, width = pixels.shape[:2]
        fits = out.ndim == 4 and len(out) == 1 and 0 < out.shape[2] <= height and 0 < out.shape[3] <= width
        if not fits or height * out.shape[3] != width * out.shape[2]:
            raise ModelError(
                f"returns {list(out.shape)} for {width} x {height} pixels",
                where=self.path.name,
                remedy="expected is [1, channels, h, w] at that or a lower resolution",
            )
        if recipe.keep and out.shape[1] != len(recipe.classes):
            raise ModelError(
                f"has {counted(out.shape[1], 'output')} per pixel, names of {len(recipe.classes)} classes",
                where=self.path.name,
                remedy="name all in their order: `tissue_set=['classes=background,tissue,fold']`",
            )
        if not recipe.keep and recipe.channel >= out.shape[1]:
            raise ModelError(
                f"has {counted(out.shape[1], 'output')} per pixel, and no channel {recipe.channel}",
                where=self.path.name,
                remedy=f"give {argument('tissue_set', ['channel=0'])} or another of them",
            )
        return self._activate(out[0], recipe)

    def _activate(self, out: Float32Array, recipe: TissueRecipe) -> Float32Array:
        if recipe.activation == "sigmoid":
            out = np.asarray(0.5 * (1 + np.tanh(0.5 * out)), np.float32)
        elif recipe.activation == "softmax":
            if len(out) < 2:
                raise ModelError(
                    "has one output per pixel, and softmax needs several",
                    where=self.path.name,
                    remedy=f"use {argument('tissue_set', ['activation=sigmoid'])}",
                )
            powers = np.exp(out - out.max(0))
            out = np.asarray(powers / powers.sum(0), np.float32)
        if not np.isfinite(out).all():
            raise SlideError(
                "returns values that are not finite",
                where=self.path.name,
                remedy="check its weights, and `mean` and `std` of its input",
            )
        low, high = float(out.min()), float(out.max())
        if not -1e-3 <= low <= high <= 1 + 1e-3:
            raise SlideError(
                f"returns {low:g} to {high:g}, which are not probabilities",
                where=self.path.name,
                remedy="`tissue_set=['activation=sigmoid']` or softmax makes them",
            )
        return out

    def probability(self, view: UInt8Array, recipe: TissueRecipe) -> Float32Array:
        """Compute the probability of tissue of every pixel, float32 [h, w].

        Args:
            view: RGB, uint8 [h, w, 3].
            recipe: Settings.

        Raises:
            SlideError: If an output of the network is not finite or not a probability.
        """
        total = np.zeros(view.shape[:2], np.float32)
        for window in windows(view, self._fixed):
            out = self._run(window.pixels, recipe)[recipe.channel]
            total[window.target] = _enlarged(out, window.pixels)[window.source]
        return total

    def classes(self, view: UInt8Array, recipe: TissueRecipe) -> npt.NDArray[np.unsignedinteger[Any]]:
        """Compute the most probable class of every pixel, a place in `recipe.classes`.

        Args:
            view: RGB, uint8 [h, w, 3].
            recipe: Settings, with the names of the classes.

        Returns:
            uint8 [h, w], or the smallest unsigned type that counts the classes.

        Raises:
            SlideError: If an output of the network is not finite or not a probability.
        """
        found = np.zeros(view.shape[:2], np.min_scalar_type(len(recipe.classes) - 1))
        for window in windows(view, self._fixed):
            out = self._run(window.pixels, recipe)
            best = _enlarged(out[0], window.pixels)
            for number in range(1, len(out)):
                value = _enlarged(out[number], window.pixels)
                better = (value > best)[window.source]
                found[window.target][better] = number
                np.maximum(best, value, out=best)
        return found


def _enlarged(out: Float32Array, pixels: UInt8Array) -> Float32Array:
    """Return an output of a window at the size of its pixels, float32 [side_y, side_x]."""
    return np.asarray(cv2.resize(out, pixels.shape[1::-1], interpolation=cv2.INTER_LINEAR), np.float32)


def load_network(path: Path) -> TissueNetwork:
    """Load a network, cached by path and by size and modification time of its files.

    Raises:
        ModelError: If the file is missing, is not ONNX, or does not follow the contract.
    """
    with _loading:
        return _load(path, network_states(path))


@functools.lru_cache(maxsize=2)
def _load(path: Path, states: tuple[State, ...]) -> TissueNetwork:
    return TissueNetwork(path)


def network_of(recipe: TissueRecipe) -> TissueNetwork:
    """Load the network of a recipe with the name `model`.

    Raises:
        ModelError: If its file is not available or has changed.
    """
    if recipe.path is None:
        raise ModelError(
            f"the file of the tissue network {recipe.model} ({recipe.sha256}) was not found",
            remedy="give it again",
        )
    network = load_network(recipe.path)
    if network.sha256 != recipe.sha256:
        raise ModelError(f"has changed since it was loaded ({recipe.sha256} before)", where=recipe.model)
    return network
