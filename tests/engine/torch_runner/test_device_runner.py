"""The device runner, over host memory with attention in plain torch: staging, padding, graphs, carries.

Its kernels are tested by test_triton_kernels.py; on a device, tests/cuda runs all of it.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pytest
import torch

from engine.runner import Runner
from engine.step import Draw, Sampled, Slice, Step
from engine.torch_runner.cuda.decode_graphs import BUCKETS, bucket_for
from engine.torch_runner.cuda.device_draw import UNUSABLE, best_tokens, put_carried
from engine.torch_runner.cuda.host_streams import HostStreams
from engine.torch_runner.cuda.step_batch import StepBatch
from engine.torch_runner.cuda.step_inputs import ALIGN, StepInputs
from engine.torch_runner.load_options import LoadOptions
from engine.torch_runner.torch_runner import TorchRunner
from protocol.errors import EngineFailed
from protocol.ids import AttemptKey, RequestId
from protocol.sampling import Sampling
from tests.engine.runner_conformance import CHECKS, Check
from tests.engine.torch_runner.conftest import FolderOf
from tests.engine.torch_runner.device_runner import host_device_runner

GREEDY = Sampling(seed=0, temperature=0.0)
WARM = Sampling(seed=3, temperature=0.9, top_p=0.9)
TOLD = Sampling(seed=4, temperature=0.9, logprobs=1)
"""The host draws it."""


def key(number: int) -> AttemptKey:
    """Of one sequence."""
    return AttemptKey(RequestId(f"r{number}"), 0)


@pytest.mark.parametrize("kind", ["llama", "gpt_oss"])
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_device_runner_conforms(check: Check, kind: str, folder_of: FolderOf) -> None:
    """Every promise of the seam holds, with decode steps padded to their bucket."""
    check(lambda: host_device_runner(folder_of(kind)))


def test_facts_are_those_of_the_cpu_but_for_the_lookahead(folder_of: FolderOf) -> None:
    """The same model on CPU has the same fingerprint, so KV may move between them."""
    ours = host_device_runner(folder_of("llama")).facts
    options = LoadOptions(str(folder_of("llama")), 2 << 20, time.perf_counter, dtype="fp32", block_size=8)
    theirs = TorchRunner.load(options).facts
    assert (ours.lookahead, theirs.lookahead) == (1, 0)
    assert ours.fingerprint == theirs.fingerprint
    assert (ours.dtype, ours.max_context, ours.vocabulary) == (
        theirs.dtype,
        theirs.max_context,
        theirs.vocabulary,
    )


def prompts(runner: Runner, samplings: list[Sampling]) -> Step:
    """A prompt for each, of different lengths, in blocks of its own."""
    slices = []
    for number, sampling in enumerate(samplings):
        prompt = [9 + number + at for at in range(3 + 4 * number)]
        table = range(6 * number, 6 * number + 6)
        slices.append(Slice(key(number), prompt, 0, table, Draw(sampling, 0, prompt, ())))
    return Step(tuple(slices))


def after(step: Step, order: list[int], known: list[int] | None) -> Step:
    """One more token of each; row `order[i]` of `step` becomes row i. Tokens are carried unless known."""
    slices = []
    for row in order:
        before = step.slices[row]
        draw = before.draw
        assert draw is not None
        token, carry = (0, row) if known is None else (known[row], None)
        start = before.start + len(before.tokens)
        fresh = Draw(draw.sampling, draw.index + 1, draw.prompt, ())
        slices.append(Slice(before.key, [token], start, before.blocks, fresh, carry))
    return Step(tuple(slices))


def tokens_of(sampled: tuple[Sampled | None, ...]) -> list[int]:
    """All of them are there."""
    return [one.token for one in sampled if one is not None]


@pytest.mark.parametrize(
    "samplings", [[GREEDY] * 5, [GREEDY, WARM, GREEDY], [WARM] * 2, [WARM, TOLD, GREEDY]]
)
def test_carried_tokens_are_those_that_were_drawn(samplings: list[Sampling], folder_of: FolderOf) -> None:
    """Steps launched before the results of those before them give what known tokens give, in any order
    of rows, whether the device or the host drew them."""
    runner = host_device_runner(folder_of("llama"))
    order = list(reversed(range(len(samplings))))
    step = prompts(runner, samplings)
    expected: list[list[int]] = []
    for _ in range(5):
        expected.append(tokens_of(runner.launch(step).result().sampled))
        step = after(step, order, expected[-1])
    runner = host_device_runner(folder_of("llama"))
    step = prompts(runner, samplings)
    pending = runner.launch(step)
    said = []
    for _ in range(4):
        step = after(step, order, None)
        following = runner.launch(step)
        said.append(tokens_of(pending.result().sampled))
        pending = following
    said.append(tokens_of(pending.result().sampled))
    assert said == expected


def test_a_carry_from_a_row_that_is_not_there_fails_alone(folder_of: FolderOf) -> None:
    """The step fails with EngineFailed and touches nothing; the runner goes on."""
    runner = host_device_runner(folder_of("llama"))
    wrong = Step((Slice(key(0), [1], 0, [0], Draw(GREEDY, 0, [1], ()), 0),))
    with pytest.raises(EngineFailed, match="carried"):
        runner.launch(wrong).result()
    assert not runner.arena.data.any()
    step = prompts(runner, [GREEDY])
    assert runner.launch(step).result().sampled[0] is not None
    runner.launch(step)
    with pytest.raises(EngineFailed, match="carried"):
        runner.launch(after(Step(step.slices * 2), [1], None)).result()


@pytest.mark.parametrize(
    "wrong",
    [
        Slice(key(1), [5], 16, [3], None),
        Slice(key(1), [5], 0, [10_000], None),
        Slice(key(1), [5], 0, [-2], None),
        Slice(key(1), [5_000], 0, [3], None),
        Slice(key(1), [-1], 0, [3], None),
    ],
    ids=["table too short", "no such block", "negative block", "no such token", "negative token"],
)
def test_a_wrong_number_never_reaches_the_device(wrong: Slice, folder_of: FolderOf) -> None:
    """It would end the whole context there; here it fails one step before anything is written."""
    runner = host_device_runner(folder_of("llama"))
    with pytest.raises(EngineFailed):
        runner.launch(Step((*prompts(runner, [GREEDY]).slices, wrong))).result()
    assert not runner.arena.data.any()


def test_a_request_whose_logits_overflow_harms_no_other(folder_of: FolderOf) -> None:
    """A sequence with NaN in its own KV draws None; its neighbours in the bucket do not notice."""
    runner = host_device_runner(folder_of("llama"))
    fine = Slice(key(0), [9], 0, [1], Draw(GREEDY, 0, [9], ()))
    (alone,) = runner.launch(Step((fine,))).result().sampled
    runner.arena.data[2] = 0xFF
    broken = Slice(key(1), [5], 7, [2], Draw(GREEDY, 0, [5], ()))
    assert runner.launch(Step((broken, fine, broken))).result().sampled == (None, alone, None)


def test_the_smallest_bucket_that_holds_the_batch_is_replayed() -> None:
    """Never a smaller one, and none for a batch beyond the largest."""
    assert [bucket_for(count) for count in (1, 2, 3, 33, 64, 65)] == [1, 2, 4, 64, 64, None]
    for count in range(1, 65):
        bucket = bucket_for(count)
        assert bucket is not None and count <= bucket < max(2, 2 * count)
        assert bucket in BUCKETS


def test_padded_rows_see_nothing_and_store_nothing() -> None:
    """Behind the batch come sequences without tokens; every section begins at a multiple of 128 bytes."""
    batch = StepBatch.of(Step((Slice(key(0), [7], 9, [4, 5], None), Slice(key(1), [8], 0, [6], None, 1))), 8)
    buffer = torch.full((StepInputs.size(4, 4, 3),), -99)
    inputs = StepInputs(buffer, 4, 4)
    inputs.fill(batch)
    assert inputs.ids.tolist() == [7, 8, 0, 0]
    assert inputs.positions.tolist() == [9, 0, 0, 0]
    assert inputs.write_blocks.tolist() == [5, 6, -1, -1]
    assert inputs.write_offsets.tolist() == [1, 0, 0, 0]
    assert inputs.carry.tolist() == [-1, 1, -1, -1]
    assert (inputs.starts + inputs.counts).tolist() == [10, 1, 0, 0]
    assert inputs.rows.tolist() == inputs.last.tolist() == [0, 1, 2, 3]
    assert inputs.begins.tolist() == [0, 2, 0, 0]
    assert inputs.blocks.tolist() == [4, 5, 6]
    assert all(one.storage_offset() % ALIGN == 0 for one in (inputs.positions, inputs.last, inputs.blocks))


def test_single_tokens_come_first_whatever_the_order_of_the_step() -> None:
    """So that one launch serves all of them; rows stay those of the step."""
    batch = StepBatch.of(
        Step((Slice(key(0), [1, 2, 3], 0, [4], None), Slice(key(1), [5], 20, [1, 2, 3], None))), 8
    )
    tables = batch.tables
    assert (tables.rows.tolist(), tables.counts.tolist(), tables.starts.tolist()) == ([3, 0], [1, 3], [20, 0])
    assert (tables.begins.tolist(), tables.blocks.tolist()) == ([0, 3], [1, 2, 3, 4])
    assert (tables.singles, tables.context, tables.longest, batch.decodes_only) == (1, 21, 3, False)
    assert batch.last.tolist() == [2, 3]


def test_the_first_of_equal_tokens_is_drawn_and_no_token_of_a_broken_row() -> None:
    """As numpy's argmax does on the host."""
    rows = torch.tensor([[1.0, 3.0, 3.0], [float("nan"), 1.0, 2.0], [-float("inf")] * 3, [5.0, 1.0, 2.0]])
    assert best_tokens(rows).tolist() == [1, UNUSABLE, UNUSABLE, 0]
    assert np.argmax(rows[0].numpy()) == 1


def test_carries_are_put_in_place_and_known_tokens_stay() -> None:
    """An unusable token is carried as any token that exists."""
    ids = torch.tensor([10, 11, 12, 13])
    put_carried(ids, torch.tensor([-1, 2, 0, -1]), torch.tensor([UNUSABLE, 7, 8]))
    assert ids.tolist() == [10, 8, 0, 13]


class CountingStreams(HostStreams):
    """Counts replays."""

    replays = 0

    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        """As it is, and counted."""
        replay = super().record(work)

        def counted() -> None:
            self.replays += 1
            replay()

        return counted


def test_decode_steps_are_replayed_and_others_are_not(folder_of: FolderOf) -> None:
    """A step of single tokens is one replay; a prompt, or more sequences than any bucket holds, is none."""
    streams = CountingStreams(time.perf_counter)
    runner = host_device_runner(folder_of("llama"), streams=streams)
    step = prompts(runner, [GREEDY] * 3)
    sampled = runner.launch(step).result().sampled
    assert streams.replays == 0
    runner.launch(after(step, [0, 1, 2], tokens_of(sampled))).result()
    assert streams.replays == 1
    many = Step(tuple(Slice(key(at), [5], 0, [at], None) for at in range(max(BUCKETS) + 1)))
    assert runner.launch(many).result().sampled == (None,) * len(many.slices)
    assert streams.replays == 1
