"""What is refused before anything starts."""

from __future__ import annotations

import socket
from dataclasses import replace
from pathlib import Path

import pytest

from cluster.byte_size import ByteSize
from cluster.preflight import PortTaken, check_port, free_port, prepared
from cluster.spec import GatewaySpec, PoolSpec, PoolsSpec, Spec
from protocol.errors import InvalidSpec, UnsupportedModel


def spec() -> Spec:
    """A cluster that could start here."""
    return Spec(gateway=GatewaySpec(port=free_port("127.0.0.1")))


def test_shipped_model_passes() -> None:
    """The model that ships with Baton is served as it is, under its own name."""
    ready = prepared(spec())
    assert Path(ready.model).is_absolute()
    assert ready.served_name == "baton-tiny"


def test_taken_port_is_named() -> None:
    """A port that somebody listens on is refused with its number and the way out."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PortTaken, match=f"127.0.0.1:{port}.*--port"):
            check_port("127.0.0.1", port)


def test_missing_core_is_named() -> None:
    """A core that this machine lacks cannot be pinned."""
    pools = PoolsSpec(decode=PoolSpec(cores=(4000,)))
    with pytest.raises(InvalidSpec, match=r"pools\.decode\.cores: this machine has no core 4000"):
        prepared(replace(spec(), pools=pools))


def test_more_memory_than_there_is() -> None:
    """KV memory that cannot fit is refused instead of swapped or killed."""
    with pytest.raises(InvalidSpec, match="kv_memory: 2 workers with 1024TiB each do not fit"):
        prepared(replace(spec(), kv_memory=ByteSize(1 << 50)))


def test_folder_that_is_no_model(tmp_path: Path) -> None:
    """A folder without a model is one sentence."""
    with pytest.raises(UnsupportedModel, match="not a model folder"):
        prepared(replace(spec(), model=str(tmp_path)))
