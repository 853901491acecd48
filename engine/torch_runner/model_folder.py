"""The files of a model: found, complete, and digested. Nothing of torch is needed."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from protocol.errors import UnsupportedModel

CONFIG = "config.json"
INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"
TEXT_PATTERNS = ["*.json", "*.jinja", "*.txt", "*.model"]
WEIGHT_PATTERNS = ["*.safetensors"]
FULL_DIGEST_BYTES = 64 << 20
"""Larger files are digested by header and samples."""
SAMPLES = 512
SAMPLE_BYTES = 4096
VOLATILE_KEYS = ("_name_or_path", "transformers_version", "torch_dtype", "dtype")


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """A local folder with a readable config.json and whole safetensors files."""

    path: Path
    config: dict[str, Any]
    weights: tuple[Path, ...]

    def digest(self) -> str:
        """sha256 hex over the config and the weights. Of files beyond FULL_DIGEST_BYTES the header
        (names, shapes, offsets), the size and evenly spaced samples count."""
        stable = {name: thing for name, thing in self.config.items() if name not in VOLATILE_KEYS}
        total = hashlib.sha256(json.dumps(stable, sort_keys=True).encode())
        for file in self.weights:
            total.update(_file_digest(file))
        return total.hexdigest()


def resolve_model(model: str, *, weights: bool = True) -> Path:
    """The local folder of `model`: itself, or the hub's files fetched into the cache, without the weights
    where nobody computes. Raises UnsupportedModel."""
    path = Path(model).expanduser()
    if path.is_dir():
        return path
    if path.exists():
        raise UnsupportedModel(f"{model} is a file; a model is a folder with {CONFIG} and safetensors")
    if path.is_absolute() or model.startswith((".", "~")) or model.count("/") > 1:
        raise UnsupportedModel(f"there is no model folder {model}")
    return _fetch(model, TEXT_PATTERNS + WEIGHT_PATTERNS if weights else TEXT_PATTERNS)


def open_folder(path: Path) -> ModelFolder:
    """Checks that config and weights are there and whole. Raises UnsupportedModel."""
    config = _read_json(path / CONFIG)
    files = _weight_files(path)
    for file in files:
        _check_whole(file)
    return ModelFolder(path, config, files)


def _fetch(model: str, patterns: list[str]) -> Path:
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(model, allow_patterns=patterns))
    except Exception as error:
        reason = str(error).strip().split("\n")[0]
        raise UnsupportedModel(
            f"{model} is neither a folder here nor a model that the hub would give ({reason})"
        ) from error


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UnsupportedModel(f"{path.parent} has no {path.name}, so it is not a model folder") from error
    except (OSError, ValueError) as error:
        raise UnsupportedModel(f"{path} cannot be read as JSON: {error}") from error
    if not isinstance(content, dict):
        raise UnsupportedModel(f"{path} does not hold a JSON object")
    return content


def _weight_files(path: Path) -> tuple[Path, ...]:
    if (path / SINGLE).is_file():
        return (path / SINGLE,)
    if not (path / INDEX).is_file():
        raise UnsupportedModel(f"{path} has no {SINGLE} (only safetensors are read, never pickled weights)")
    names = _read_json(path / INDEX).get("weight_map")
    if not isinstance(names, dict) or not names:
        raise UnsupportedModel(f"{path / INDEX} names no weights")
    files = tuple(path / name for name in sorted({str(name) for name in names.values()}))
    for file in files:
        if not file.is_file():
            raise UnsupportedModel(f"{path} lacks {file.name}, which its index names")
    return files


def _check_whole(file: Path) -> None:
    """The size that the header promises is the size on disk (format: 8 bytes of length, JSON, data)."""
    size = file.stat().st_size
    try:
        with file.open("rb") as opened:
            length = int.from_bytes(opened.read(8), "little")
            header = json.loads(opened.read(length)) if 8 + length <= size else None
        ends = [entry["data_offsets"][1] for name, entry in (header or {}).items() if name != "__metadata__"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UnsupportedModel(f"{file} is not a safetensors file: {error}") from error
    if header is None or 8 + length + max(ends, default=0) != size:
        raise UnsupportedModel(f"{file} is truncated or damaged: its size is not what its header says")


def _file_digest(file: Path) -> bytes:
    size = file.stat().st_size
    digest = hashlib.sha256(f"{file.name}:{size}".encode())
    with file.open("rb") as opened:
        if size <= FULL_DIGEST_BYTES:
            digest.update(opened.read())
            return digest.digest()
        length = int.from_bytes(opened.read(8), "little")
        digest.update(opened.read(length))
        for sample in range(SAMPLES):
            opened.seek(8 + length + (size - 8 - length - SAMPLE_BYTES) * sample // (SAMPLES - 1))
            digest.update(opened.read(SAMPLE_BYTES))
    return digest.digest()
