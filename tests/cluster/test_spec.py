"""The spec: one validated document."""

from __future__ import annotations

import math
import string
from dataclasses import fields
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from cluster.byte_size import ByteSize
from cluster.gateway_entry import promised
from cluster.spec import GatewaySpec, MockSpec, PoolSpec, SchedulingSpec, Spec
from cluster.spec_reader import parse_spec, read_spec
from cluster.spec_refusals import REFUSED
from protocol.errors import BatonError, InvalidSpec, NotOffered
from protocol.limits import Limits
from router.slo import Slo

SECTIONS = {
    "": [one.name for one in fields(Spec)],
    "pools": ["prefill", "decode"],
    "pools.decode": [one.name for one in fields(PoolSpec)],
    "mock": [one.name for one in fields(MockSpec)],
    "gateway": [one.name for one in fields(GatewaySpec)],
    "limits": [one.name for one in fields(Limits)],
    "scheduling": [one.name for one in fields(SchedulingSpec)],
}
ALL_KEYS = [key for keys in SECTIONS.values() for key in keys]


def nested(path: str, value: object) -> str:
    """YAML of a document with one value at a dotted path."""
    for key in reversed([part for part in path.split(".") if part]):
        value = {key: value}
    return yaml.safe_dump(value)


def test_empty_document_is_the_default_cluster() -> None:
    """Nothing has to be written: an empty spec is one prefill and one decode worker."""
    spec = parse_spec("")
    assert spec == Spec()
    assert (spec.pools.prefill.replicas, spec.pools.decode.replicas) == (1, 1)
    assert spec.name == "baton-tiny"


def test_every_part_of_a_full_document_is_read() -> None:
    """Each key of the document lands in the field of its name."""
    spec = parse_spec("""
model: org/some-model
served_name: some
dtype: fp32
device: cuda
block_size: 32
weights: model
kv_dtype: model
kv_memory: 1.5GiB
pools:
  prefill: {replicas: 2, cores: [0, 1], threads: 1, resources: {p: 1}, labels: {pool: prefill}}
  decode: {replicas: 3, device: "cuda:1"}
gateway: {host: 0.0.0.0, port: 9000, replicas: 2}
directory: redis://127.0.0.1:6379/1
limits: {lease_s: 5}
scheduling: {max_batch_tokens: 128, max_running: 8}
""")
    assert (spec.model, spec.name, spec.dtype, spec.block_size) == ("org/some-model", "some", "fp32", 32)
    assert spec.kv_memory == 3 << 29
    assert spec.pools.prefill == PoolSpec(2, (0, 1), 1, {"p": 1.0}, {"pool": "prefill"})
    assert spec.gateway == GatewaySpec("0.0.0.0", 9000, 2)  # noqa: S104
    assert spec.limits == Limits(lease_s=5.0)
    assert spec.workers == 5
    assert [spec.device_of(pool) for pool in (spec.pools.prefill, spec.pools.decode)] == ["cuda", "cuda:1"]


def test_modelled_engines_are_asked_for_by_name() -> None:
    """One key turns a cluster into one that computes nothing; the speed-up is a number of any kind."""
    spec = parse_spec("{engine: modelled, mock: {speedup: 100}}")
    assert (spec.computes, spec.mock.speedup) == (False, 100.0)
    assert parse_spec("").computes


@given(st.sampled_from(sorted(SECTIONS)), st.text(string.ascii_lowercase + "_", min_size=1), st.integers())
def test_unknown_key_is_named_with_its_path(section: str, key: str, value: int) -> None:
    """No key that does not exist is ever accepted, wherever it stands, and the error names its path."""
    if key in SECTIONS[section]:
        return
    path = f"{section}.{key}" if section else key
    with pytest.raises((InvalidSpec, NotOffered), match=path) as caught:
        parse_spec(nested(path, value))
    assert caught.value.param == path


@given(st.sampled_from([(s, k) for s, keys in SECTIONS.items() for k in keys]), st.data())
def test_misspelt_key_names_the_one_that_was_meant(known: tuple[str, str], data: st.DataObject) -> None:
    """A key with one letter doubled is refused, and the error names the key that was meant."""
    section, key = known
    place = data.draw(st.integers(0, len(key) - 1))
    typo = key[: place + 1] + key[place:]
    path = f"{section}.{typo}" if section else typo
    with pytest.raises(InvalidSpec, match=f"did you mean {key}"):
        parse_spec(nested(path, 1))


def test_promises_are_in_milliseconds_and_none_is_made_by_default() -> None:
    """The router plans in seconds; what is not promised is never late."""
    assert promised(parse_spec("slo: {ttft_ms: 2000, itl_ms: 50}").slo) == Slo(2.0, 0.05)
    assert promised(parse_spec("").slo) == Slo(math.inf, math.inf)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "gateway: {port: web}",
            "gateway.port: expected int, got str; write a TCP port, for example `port: 8000`",
        ),
        ("gateway: {port: 0}", "gateway.port: expected int >= 1; write a TCP port"),
        ("pools: {decode: {replicas: 0}}", "pools.decode.replicas: at least one decode worker"),
        ("pools: {decode: {replicas: true}}", "pools.decode.replicas: expected int, got bool"),
        ("pools: {decode: {cores: [0, a]}}", "pools.decode.cores.*: expected int, got str"),
        ("pools: {decode: {replicas: 2, cores: [0, 1, 2]}}", "pools.decode.cores: 3 cores cannot be shared"),
        ("pools: {decode: {resources: {gpu: 0}}}", "pools.decode.resources.gpu: an amount above 0"),
        ("pools: [1]", "pools: expected object, got array"),
        ("kv_memory: lots", 'kv_memory: expected bytes such as "256MiB" or "2GB", got \'lots\''),
        ("dtype: fp8", "dtype: invalid enum value 'fp8'; write what the model computes in"),
        ("weights: int4", "weights: invalid enum value 'int4'; write how weights are kept"),
        ("{weights: int8, dtype: fp32}", "weights: int8 goes with bf16; write `dtype: bf16`"),
        ("{kv_dtype: int8, dtype: fp32}", "kv_dtype: int8 goes with bf16; write `dtype: bf16`"),
        ("kv_dtype: fp8", "kv_dtype: invalid enum value 'fp8'; write what KV is stored in"),
        ("{weights: int8, device: cuda}", "weights: int8 runs on CPUs only, and pools.prefill is on cuda"),
        ("device: tpu", 'device: .*write "cpu", "cuda" or "cuda:N", for example `device: cuda:0`'),
        ("pools: {decode: {device: 'cuda:'}}", "pools.decode.device: .*for example `device: cuda:1`"),
        ("directory: zookeeper", 'directory: .*write "ray", or the URL of a Redis server'),
        ("limits: {lease_s: 1.0}", "limits.renew_every_s: must be below lease_s"),
        ("limits: {max_replans: -1}", "limits.max_replans: a limit is above 0 and finite"),
        ("limits: {lease_s: .inf}", "limits.lease_s: a limit is above 0 and finite"),
        ("engine: vllm", "engine: invalid enum value 'vllm'; write torch, or modelled"),
        ("{engine: modelled, mock: {speedup: 0}}", "mock.speedup: expected float >= 0.001; write how much"),
        ("{engine: modelled, mock: {speedup: .nan}}", "mock.speedup: expected float >= 0.001"),
        ("{engine: modelled, mock: {speedup: .inf}}", "mock.speedup: expected float <= 100000.0"),
        ("{engine: modelled, mock: {kv_tokens: 16}}", "mock.kv_tokens: expected int >= 1024; write KV room"),
        ("mock: {speedup: 2}", "mock: it is for modelled engines only; write `engine: modelled`"),
        ("{engine: modelled, weights: int8}", "engine: modelled engines have no weights"),
        ("{engine: modelled, device: cuda}", "engine: modelled engines need no device, and pools.prefill"),
        ("[1, 2]", "the document: expected object, got array"),
        ("model: [", "this is not YAML"),
        ("7: 8", "unknown key 7"),
    ],
)
def test_wrong_value_says_where_what_and_how(text: str, message: str) -> None:
    """A wrong value is refused with its path, what was expected, and where it helps an example."""
    with pytest.raises(InvalidSpec, match=message):
        parse_spec(text)


@pytest.mark.parametrize("key", sorted(REFUSED))
def test_feature_of_another_day_is_refused_by_name(key: str) -> None:
    """A feature that Baton lacks is no typing error: the answer says that it is not offered, and why."""
    with pytest.raises(NotOffered, match=f"pools.decode.{key} is not offered: "):
        parse_spec(nested(f"pools.decode.{key}", 2))
    with pytest.raises(NotOffered):
        parse_spec(nested(key, 2))


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(ALL_KEYS), inner, max_size=3)
        ),
        max_leaves=8,
    )
)
def test_any_document_is_a_spec_or_a_typed_error(document: object) -> None:
    """Whatever is written, the reader answers with a Spec or with one of our errors."""
    try:
        assert isinstance(parse_spec(yaml.safe_dump(document)), Spec)
    except BatonError as wrong:
        assert "\n" not in wrong.message


@given(st.integers(1, 1 << 50))
def test_byte_size_reads_what_it_prints(size: int) -> None:
    """A size survives being printed and read again."""
    assert ByteSize.parse(str(ByteSize(size))) == size


def test_relative_model_is_relative_to_the_spec(tmp_path: Path) -> None:
    """A spec and its model folder move together."""
    (tmp_path / "m").mkdir()
    (tmp_path / "s.yaml").write_text("model: m\n")
    spec = read_spec(tmp_path / "s.yaml")
    assert (spec.model, spec.name) == (str(tmp_path / "m"), "m")


def test_missing_file_is_one_sentence(tmp_path: Path) -> None:
    """A spec that is not there is an InvalidSpec, not a traceback."""
    with pytest.raises(InvalidSpec, match="cannot be read"):
        read_spec(tmp_path / "none.yaml")


def test_shipped_specs_are_valid() -> None:
    """Every spec in deploy/specs can be read, and names a model that is there."""
    found = sorted((Path(__file__).parents[2] / "deploy" / "specs").glob("*.yaml"))
    assert found
    for path in found:
        assert Path(read_spec(path).model).joinpath("config.json").is_file()
