"""Writing of a `TileModel` as ONNX or TorchScript."""

from __future__ import annotations

import io
from pathlib import Path

import onnx
import torch

from wsi_embed.encoder.metadata import FILE, KEY, ModelMetadata
from wsi_embed_export.beside import data_file, rename_data
from wsi_embed_export.graph import TileModel
from wsi_embed_export.quiet import quiet

OPSET = 18
# A protocol buffer, and therefore an ONNX file with its weights, cannot be larger.
LARGEST = 2**31 - 2**20


def weight_bytes(model: TileModel) -> int:
    """Return the size of the weights of a model in bytes."""
    return sum(tensor.nbytes for tensor in model.state_dict().values())


def write_onnx(model: TileModel, metadata: ModelMetadata, path: Path, largest: int = LARGEST) -> None:
    """Write an ONNX file with a dynamic batch size, and check it with the ONNX checker.

    Args:
        model: Model to export.
        metadata: Metadata for `metadata_props`.
        path: File to write.
        largest: Size of the weights, bytes, beyond which they are written beside the file.
    """
    # Three tiles, because the exporter would treat a batch size of 1 as constant (pytorch#157621).
    example = torch.randint(0, 256, (3, model.tile_px, model.tile_px, 3), dtype=torch.uint8)
    with quiet():
        program = torch.onnx.export(
            model,
            (example,),
            dynamo=True,
            input_names=["tiles"],
            output_names=list(model.outputs),
            dynamic_shapes={"tiles": {0: "batch"}},
            opset_version=OPSET,
        )
        assert program is not None
        if weight_bytes(model) > largest:
            program.save(path, external_data=True)
            rename_data(path, data_file(path).name)
        else:
            program.save(path, external_data=False)
    del program
    add_onnx_metadata(path, metadata)


def save_onnx(proto: onnx.ModelProto, metadata: ModelMetadata, path: Path, largest: int = LARGEST) -> None:
    """Write a model of ONNX with metadata, and check it with the ONNX checker.

    Args:
        proto: Model, whose weights are moved to the file if they are written beside it.
        metadata: Metadata for `metadata_props`.
        path: File to write.
        largest: Size of the model, bytes, beyond which its weights are written beside the file.
    """
    if sum(len(tensor.raw_data) for tensor in proto.graph.initializer) > largest:
        onnx.save(proto, str(path), save_as_external_data=True, location=data_file(path).name)
        rename_data(path, data_file(path).name)
    else:
        onnx.save(proto, str(path))
    add_onnx_metadata(path, metadata)


def add_onnx_metadata(path: Path, metadata: ModelMetadata) -> None:
    """Write metadata into an ONNX file, replacing existing metadata, and check the file."""
    proto = onnx.load(str(path), load_external_data=False)
    _remove_notes(proto.graph)
    onnx.helper.set_model_props(proto, {KEY: metadata.to_json()})
    onnx.save(proto, str(path))
    del proto  # its copy of the weights is not needed while the checker reads the file
    onnx.checker.check_model(str(path), full_check=True)


def _remove_notes(graph: onnx.GraphProto) -> None:
    """Remove the notes of the exporter: stack traces with paths of the exporting machine."""
    parts = (graph.node, graph.input, graph.output, graph.value_info, graph.initializer)
    for noted in (graph, *(item for part in parts for item in part)):
        noted.ClearField("metadata_props")
        noted.ClearField("doc_string")


def write_torchscript(model: TileModel, metadata: ModelMetadata, path: Path) -> None:
    """Write a TorchScript file with the metadata as an extra file."""
    example = torch.randint(0, 256, (3, model.tile_px, model.tile_px, 3), dtype=torch.uint8)
    # PyTorch aborts the process when it cannot write to a disk, so that it writes to memory.
    saved = io.BytesIO()
    with quiet(), torch.inference_mode():
        traced = torch.jit.trace(  # type: ignore[no-untyped-call]
            model, (example,), check_trace=False
        )
        torch.jit.save(traced, saved, _extra_files={FILE: metadata.to_json()})
    path.write_bytes(_without_debugging(saved).getbuffer())


def _without_debugging(saved: io.BytesIO) -> io.BytesIO:
    """Return a TorchScript file without the source locations of its operations."""
    out = io.BytesIO()
    saved.seek(0)
    reader, writer = torch._C.PyTorchFileReader(saved), torch._C.PyTorchFileWriter(out)
    for name in reader.get_all_records():
        if not name.endswith(".debug_pkl") and name not in (".data/serialization_id", "version", "byteorder"):
            record = reader.get_record(name)
            writer.write_record(name, record, len(record))
    writer.write_end_of_file()
    return out
