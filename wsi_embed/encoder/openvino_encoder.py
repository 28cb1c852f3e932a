"""Exported models in ONNX, run by OpenVINO on the CPU (extra `openvino`)."""

from __future__ import annotations

import functools
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from wsi_embed.encoder.base import Encoded, Encoder
from wsi_embed.encoder.device import Device
from wsi_embed.encoder.onnx_contract import read_contract
from wsi_embed.encoder.onnx_external_files import check_external_files
from wsi_embed.encoder.onnx_session import plain_session
from wsi_embed.encoder.openvino_int8 import int8_settings, keep_addends
from wsi_embed.errors import MissingExtraError, ModelError
from wsi_embed.slide.base import UInt8Array
from wsi_embed.util.cpu import cpu_count
from wsi_embed.util.extras import install_command

# Part of the id of int8 models. It was "openvino" as long as their features were wrong (`openvino_int8`).
INT8_ID = "openvino-int8"


class OpenVinoEncoder(Encoder):
    """Model file run by OpenVINO. Arguments are those of `OnnxEncoder`.

    By default OpenVINO computes in bfloat16 on CPUs that have it. This class computes in the file's
    precision, and in bfloat16 only for the device `openvino:bf16`: features then differ slightly, so the
    model gets an id of its own. The same holds for int8, which OpenVINO rounds at other places than ONNX
    Runtime.

    Raises:
        ModelError: If the file is not a model that follows the contract.
        MissingExtraError: If OpenVINO is not installed.
    """

    def __init__(
        self,
        path: Path,
        device: Device,
        *,
        tile_px: int | None = None,
        mpp: float | None = None,
        threads: int | None = None,
    ) -> None:
        openvino = _import_openvino()
        self.path, self.device = path, str(device)
        check_external_files(path)
        self._contract = read_contract(path, plain_session(path), tile_px, mpp)
        self.metadata, self.mpp = self._contract.metadata, self._contract.mpp
        model_id = self.metadata.model_id
        if device.bf16:
            self.metadata = replace(self.metadata, precision="bf16", model_id=f"{model_id}+bf16")
        elif self.metadata.precision == "int8":
            self.metadata = replace(self.metadata, model_id=f"{model_id}+{INT8_ID}")
        settings = {
            "INFERENCE_PRECISION_HINT": "bf16" if device.bf16 else "f32",
            "PERFORMANCE_HINT": "LATENCY",  # one batch at a time on all threads
            "INFERENCE_NUM_THREADS": str(threads or cpu_count()),
            **int8_settings(),
        }
        try:
            model = _core().read_model(str(path))
            keep_addends(model)
            self._model = _core().compile_model(model, "CPU", settings)
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[-1]
            raise ModelError(
                f"not a model that OpenVINO {openvino.__version__} can load ({reason})", where=path
            ) from error
        self._request = self._model.create_infer_request()
        self._check_outputs()

    def _encode(self, tiles: UInt8Array) -> Encoded:
        found = self._request.infer([np.ascontiguousarray(tiles)])
        # copied, because the next batch overwrites the request's memory
        return self._contract.encoded([np.array(found[name]) for name in self._contract.names])


@functools.cache
def _core() -> Any:
    """Return the process-wide OpenVINO core.

    Each core installs an alternate signal stack for the main thread and removes it at its end. If cores are
    destroyed in the order of their creation, the remaining stack is freed memory, and the next signal is
    fatal.
    """
    return _import_openvino().Core()


def _import_openvino() -> Any:
    telemetry = "openvino_telemetry"  # on import it writes into the home folder and sets up reporting
    previous = sys.modules.get(telemetry)
    sys.modules[telemetry] = None  # type: ignore[assignment]  # hidden: openvino has a stub for that case
    try:
        import openvino
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            "needs OpenVINO, which is not installed",
            where="`device='openvino'`",
            remedy=install_command("openvino"),
        ) from error
    finally:
        del sys.modules[telemetry]
        if previous is not None:
            sys.modules[telemetry] = previous
    return openvino
