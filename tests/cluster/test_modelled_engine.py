"""Engines that compute nothing: what they pretend to be, and what they do without."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.default_model import DEFAULT_MODEL
from cluster.engine_config import EngineConfig
from cluster.model_sizes import ModelSizes, read_sizes
from cluster.modelled_engine import MockCost, modelled_runner
from cluster.spec import MockSpec, Spec
from cluster.worker_entry import WorkerPlace, engine_command
from engine.step import Slice, Step
from protocol.errors import UnsupportedModel
from protocol.ids import AttemptKey, Incarnation, RequestId, WorkerId, WorkerIdentity
from replay.engine_times import EngineTimes

KEY = AttemptKey(RequestId("r"), 0)
ME = WorkerIdentity(WorkerId("decode-0"), Incarnation("life"))


def piece(count: int, start: int = 0) -> Slice:
    """So many tokens, after `start` others."""
    return Slice(KEY, (1,) * count, start, (), None)


@given(
    st.lists(st.integers(2, 3000), max_size=4),
    st.lists(st.integers(0, 4000), max_size=4),
    st.floats(0.01, 1000.0),
)
def test_steps_take_what_the_formulas_say(prompts: list[int], kept: list[int], speedup: float) -> None:
    """All prompt tokens of a step are one batch; whoever decodes takes one decode step, by the KV in use;
    the speed-up divides the sum."""
    times, mock = EngineTimes(), MockSpec(speedup, 10_000)
    step = Step((*(piece(count) for count in prompts), *(piece(1, start) for start in kept)))
    expected = times.prefill_s(sum(prompts))
    if kept:
        expected += times.decode_s(min(1.0, sum(start + 1 for start in kept) / 10_000))
    assert MockCost(times, mock).seconds(step) == pytest.approx(expected / speedup)


def test_it_looks_like_the_model_it_stands_for() -> None:
    """Vocabulary and context are the model's, KV room is the mock's, and two of them may exchange KV."""
    one, other = (modelled_runner(DEFAULT_MODEL, name, 16, MockSpec()) for name in ("a", "b"))
    sizes = read_sizes(Path(DEFAULT_MODEL))
    assert (one.facts.vocabulary, one.facts.max_context) == (sizes.vocabulary, sizes.max_context)
    assert one.arena.num_blocks * 16 == MockSpec().kv_tokens
    assert one.facts.fingerprint == other.facts.fingerprint
    assert one.facts.fingerprint != modelled_runner(DEFAULT_MODEL, "a", 32, MockSpec()).facts.fingerprint


def test_context_fits_the_kv_room() -> None:
    """No context is promised that could never be held."""
    assert modelled_runner(DEFAULT_MODEL, "a", 16, MockSpec(1.0, 1030)).facts.max_context == 1024


@pytest.mark.parametrize(
    ("config", "sizes"),
    [
        ({"vocab_size": 5}, ModelSizes(5, 0)),
        ({"text_config": {"vocab_size": 7, "max_position_embeddings": 9}}, ModelSizes(7, 9)),
        ({}, None),
        ([], None),
    ],
)
def test_sizes_are_read_or_refused(config: object, sizes: ModelSizes | None, tmp_path: Path) -> None:
    """A model may keep its sizes in the part for text; without a vocabulary there is no model."""
    (tmp_path / "config.json").write_text(json.dumps(config))
    if sizes is not None:
        assert read_sizes(tmp_path) == sizes
        return
    with pytest.raises(UnsupportedModel, match="gives no vocab_size"):
        read_sizes(tmp_path)


def test_spec_reaches_the_engine() -> None:
    """The engine's command line says whether to pretend, and how fast."""
    place = WorkerPlace("decode", 0, "")
    for spec in (Spec(), Spec(engine="modelled", mock=MockSpec(100.0, 2048))):
        command = engine_command(spec, spec.pools.decode, place, ME)
        assert EngineConfig.from_json(command.argv[-1]).mock == (None if spec.computes else spec.mock)


def test_a_modelled_engine_loads_no_torch() -> None:
    """It starts at once and takes little memory: the whole engine is built without torch."""
    spec = Spec(engine="modelled")
    command = engine_command(spec, spec.pools.decode, WorkerPlace("decode", 0, ""), ME)
    script = (
        "import sys\n"
        "from cluster.engine_config import EngineConfig\n"
        "from cluster.engine_entry import build_core\n"
        "core = build_core(EngineConfig.from_json(sys.argv[1]))\n"
        "print(core.facts().dtype, *sorted({'ray', 'torch', 'transformers'} & set(sys.modules)))\n"
        "core.close()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, command.argv[-1]], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout.split()) == (0, ["modelled"]), done.stderr
