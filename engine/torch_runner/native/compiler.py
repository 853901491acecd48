"""Builds the kernels for this CPU, once: the result is kept in a cache folder and found again.

No headers of torch are needed, so a build takes seconds. Several processes may build at the same time:
each writes a file of its own and renames it, so nobody ever loads half a library.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import torch

from engine.torch_runner.dtype import cpu_flags
from protocol.errors import EngineFailed

SOURCES = Path(__file__).parent
COMPILERS = ("c++", "g++", "clang++")
OPTIONS = ("-std=c++17", "-O3", "-march=native", "-fopenmp", "-fPIC", "-shared", "-w")
BUILD_S = 120.0
SHOWN = 300


def built_library() -> Path:
    """The shared library for this CPU and these sources, built now if it is not in the cache.
    Raises EngineFailed with the reason if it cannot be built."""
    compiler = _compiler()
    path = cache_folder() / f"kernels-{_key(compiler)}.so"
    if not path.is_file():
        try:
            _build(compiler, path)
        except OSError as error:
            raise EngineFailed(f"{path} cannot be written: {error}") from error
    return path


def cache_folder() -> Path:
    """BATON_CACHE, or baton in the user's cache folder."""
    chosen = os.environ.get("BATON_CACHE")
    if chosen:
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "baton"


def _compiler() -> str:
    for name in (os.environ.get("CXX", ""), *COMPILERS):
        found = shutil.which(name) if name else None
        if found:
            return found
    raise EngineFailed(f"there is no C++ compiler ({', '.join(COMPILERS)})")


def _key(compiler: str) -> str:
    """Differs wherever the library would: sources, compiler, options, CPU, and torch's OpenMP."""
    total = hashlib.sha256(repr((compiler, OPTIONS, sorted(cpu_flags()), torch.__version__)).encode())
    for source in sorted((*SOURCES.glob("*.cpp"), *SOURCES.glob("*.h"))):
        total.update(source.name.encode() + b"\0" + source.read_bytes())
    return total.hexdigest()[:32]


def _build(compiler: str, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    sources = sorted(str(source) for source in SOURCES.glob("*.cpp"))
    with tempfile.TemporaryDirectory(dir=path.parent, prefix="building-") as folder:
        made = Path(folder) / path.name
        command = [compiler, *OPTIONS, "-o", str(made), *sources]
        try:
            done = subprocess.run(  # noqa: S603 - the compiler of this machine, on our own sources
                command, capture_output=True, text=True, timeout=BUILD_S, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise EngineFailed(f"{compiler} did not finish within {BUILD_S:.0f} s") from error
        if done.returncode:
            raise EngineFailed(f"{compiler} fails: {done.stderr.strip()[-SHOWN:]}")
        made.replace(path)
