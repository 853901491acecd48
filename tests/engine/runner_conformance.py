"""What every Runner promises. A runner's tests run each of CHECKS on a fresh one.

The runner must have at least 64 blocks and serve contexts of 8 blocks or more; its vocabulary has at
least 32 tokens.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from msgspec import structs

from engine.runner import Runner
from engine.step import Draw, Sampled, Slice, Step
from protocol.ids import AttemptKey, RequestId
from protocol.sampling import Sampling

RunnerFactory = Callable[[], Runner]
GREEDY = Sampling(seed=0, temperature=0.0)
POISON = 0xFF
"""As every byte of a float it is a NaN, so whatever reads it shows."""
ANSWER = 6


@dataclass(frozen=True, slots=True)
class Tale:
    """A prompt, where its KV lies, and how it is sampled."""

    name: str
    prompt: tuple[int, ...]
    table: tuple[int, ...]
    sampling: Sampling = GREEDY

    def slice(self, generated: Sequence[int], start: int, end: int) -> Slice:
        """Tokens [start, end) of prompt and generated; draws if they are the last."""
        tokens = (*self.prompt, *generated)
        draw = None
        if end == len(tokens):
            draw = Draw(self.sampling, len(generated), self.prompt, tuple(generated))
        return Slice(AttemptKey(RequestId(self.name), 0), tokens[start:end], start, self.table, draw)


def launch(runner: Runner, *slices: Slice) -> tuple[Sampled | None, ...]:
    """One step, to its end."""
    return runner.launch(Step(slices)).result().sampled


def drawn(runner: Runner, part: Slice) -> int:
    """The token after one slice, alone in its step."""
    (sampled,) = launch(runner, part)
    assert sampled is not None
    return sampled.token


def tell(runner: Runner, tale: Tale, count: int = ANSWER) -> list[int]:
    """The first `count` tokens, computed alone and with the prompt in one piece."""
    generated = [drawn(runner, tale.slice((), 0, len(tale.prompt)))]
    while len(generated) < count:
        generated.append(_next(runner, tale, generated))
    return generated


def prompt_of(runner: Runner, length: int, salt: int = 0) -> tuple[int, ...]:
    """Tokens that are equal for equal arguments."""
    span = runner.facts.vocabulary - 8
    return tuple(8 + (7919 * (at + 31 * salt) + at * at * 13) % span for at in range(length))


def facts_describe_the_arena(make: RunnerFactory) -> None:
    """Facts and memory agree: sizes are positive, one generation per block, a sha256 fingerprint."""
    runner = make()
    facts, arena = runner.facts, runner.arena
    assert min(facts.max_context, facts.vocabulary, facts.block_size, arena.block_bytes) > 0
    assert arena.data.shape == (arena.num_blocks, arena.block_bytes)
    assert arena.data.flags.c_contiguous and arena.data.flags.writeable
    assert arena.generations.shape == (arena.num_blocks,)
    assert facts.max_context <= arena.num_blocks * facts.block_size
    assert re.fullmatch("[0-9a-f]{64}", facts.fingerprint)
    assert make().facts == facts


def nothing_is_drawn_unless_asked(make: RunnerFactory) -> None:
    """A slice without a draw yields None, beside one that draws, and its KV counts later on."""
    runner = make()
    first, second = _tale(runner, "first", 0), _tale(runner, "second", 1)
    expected = tell(make(), first)[0]
    middle = len(first.prompt) // 2
    none, some = launch(runner, first.slice((), 0, middle), second.slice((), 0, len(second.prompt)))
    assert none is None
    assert some is not None
    assert drawn(runner, first.slice((), middle, len(first.prompt))) == expected


def chunks_equal_the_whole(make: RunnerFactory) -> None:
    """However a prompt is cut, also within a block, the answer is the same."""
    size = make().facts.block_size
    whole = tell(make(), _tale(make(), "tale", 0))
    for cut in (1, size - 1, size, size + 1, 2 * size + 1):
        runner = make()
        tale = _tale(runner, "tale", 0)
        _write(runner, tale, cut)
        assert [_next(runner, tale, whole[:at]) for at in range(ANSWER)] == whole


def a_batch_changes_nothing(make: RunnerFactory) -> None:
    """Sequences that start at different times and share every step say what each says alone."""
    runner = make()
    tales = [_tale(runner, f"tale {number}", number) for number in range(5)]
    expected = [tell(make(), tale) for tale in tales]
    said: list[list[int]] = [[] for _ in tales]
    for turn in range(ANSWER + len(tales) - 1):
        active = [at for at in range(len(tales)) if at <= turn and len(said[at]) < ANSWER]
        parts = [_due(tales[at], said[at]) for at in active]
        for at, sampled in zip(active, launch(runner, *parts), strict=True):
            assert sampled is not None
            said[at].append(sampled.token)
    assert said == expected


def the_block_table_does_not_show(make: RunnerFactory) -> None:
    """Which blocks hold the KV, and in which order they lie, makes no difference."""
    runner = make()
    tale = _tale(runner, "tale", 0)
    moved = Tale(tale.name, tale.prompt, tuple(reversed(range(40, 40 + len(tale.table)))))
    assert tell(runner, tale) == tell(runner, moved)


def copied_blocks_are_the_same_kv(make: RunnerFactory) -> None:
    """Block bytes copied to another runner and other block numbers continue the same answer."""
    source, target = make(), make()
    tale = _tale(source, "tale", 0)
    expected = tell(source, tale)
    moved = Tale(tale.name, tale.prompt, tuple(reversed(range(30, 30 + len(tale.table)))))
    target.arena.data[list(moved.table)] = source.arena.data[list(tale.table)]
    said = expected[:1]
    while len(said) < ANSWER:
        said.append(_next(target, moved, said))
    assert said == expected


def foreign_blocks_show(make: RunnerFactory) -> None:
    """The first block is really read at every step: another prompt's block changes the answer."""
    runner = make()
    tale, other = _tale(runner, "tale", 0), _tale(runner, "other", 1)
    expected = tell(runner, tale)
    tell(runner, other)
    runner.arena.data[tale.table[0]] = runner.arena.data[other.table[0]]
    said = expected[:1]
    while len(said) < ANSWER:
        said.append(_next(runner, tale, said))
    assert said != expected


def only_computed_memory_is_read(make: RunnerFactory) -> None:
    """Whatever lies in other blocks, and behind the last token of one's own, makes no difference."""
    runner = make()
    tales = [_tale(runner, f"tale {number}", number) for number in range(3)]
    expected = [tell(make(), tale) for tale in tales]
    runner.arena.data[:] = POISON
    said: list[list[int]] = [[] for _ in tales]
    for _ in range(ANSWER):
        for at, sampled in enumerate(launch(runner, *map(_due, tales, said))):
            assert sampled is not None
            said[at].append(sampled.token)
        mine = sorted(block for tale in tales for block in tale.table)
        runner.arena.data[np.setdiff1d(np.arange(runner.arena.num_blocks), mine)] = POISON
    assert said == expected


def only_own_blocks_are_written(make: RunnerFactory) -> None:
    """A step leaves every block alone that is not in one of its tables."""
    runner = make()
    tale = _tale(runner, "tale", 0)
    others = np.setdiff1d(np.arange(runner.arena.num_blocks), tale.table)
    runner.arena.data[others] = POISON
    tell(runner, tale)
    assert (runner.arena.data[others] == POISON).all()
    assert not runner.arena.generations.any()


def a_seed_fixes_the_answer(make: RunnerFactory) -> None:
    """Sampling depends on seed, choice and index only: a later step, another batch or another
    runner goes on with the same tokens, and another seed gives others."""
    runner = make()
    tale = _tale(runner, "tale", 0, Sampling(seed=7, temperature=1.0))
    expected = tell(runner, tale)
    resumed = make()
    _write(resumed, tale, len(tale.prompt))
    replay = Tale(tale.name, (*tale.prompt, *expected[:3]), tale.table, tale.sampling)
    part = Slice(
        AttemptKey(RequestId("resumed"), 1),
        replay.prompt[len(tale.prompt) :],
        len(tale.prompt),
        tale.table,
        Draw(tale.sampling, 3, tale.prompt, tuple(expected[:3])),
    )
    beside = _tale(resumed, "beside", 3, Sampling(seed=99, temperature=1.0))
    sampled, _ = launch(resumed, part, beside.slice((), 0, len(beside.prompt)))
    assert sampled is not None
    assert sampled.token == expected[3]
    others = [_tale(runner, "tale", 0, Sampling(seed=seed, temperature=1.0)) for seed in range(5)]
    assert len({tuple(tell(make(), other)) for other in others}) > 1


def a_carried_token_is_the_one_drawn_before(make: RunnerFactory) -> None:
    """A slice may take its last token from a row of the step before, wherever that row was; the
    placeholder does not show, and the token's KV counts from then on."""
    runner = make()
    tales = [_tale(runner, f"tale {number}", number) for number in range(3)]
    expected = [tell(make(), tale)[:3] for tale in tales]
    first, second = Step(tuple(tale.slice((), 0, len(tale.prompt)) for tale in tales)), carrying(tales, 2)
    pending = runner.launch(first), runner.launch(second)
    drawn = [one.result().sampled for one in pending]
    said = [[sampled.token for sampled in row if sampled] for row in (drawn[0], drawn[1][::-1])]
    told = [
        [one, other, _next(runner, tale, (one, other))] for tale, one, other in zip(tales, *said, strict=True)
    ]
    assert told == expected


def carrying(tales: Sequence[Tale], placeholder: int) -> Step:
    """The second token of each tale, rows in opposite order, each after whatever the first step drew."""
    rows = range(len(tales) - 1, -1, -1)
    ahead = [
        tales[row].slice((placeholder,), len(tales[row].prompt), len(tales[row].prompt) + 1) for row in rows
    ]
    return Step(tuple(structs.replace(part, carry=row) for part, row in zip(ahead, rows, strict=True)))


def an_empty_step_is_harmless(make: RunnerFactory) -> None:
    """Nothing in, nothing out."""
    assert launch(make()) == ()


def _tale(runner: Runner, name: str, number: int, sampling: Sampling = GREEDY) -> Tale:
    """Tales of different lengths, each with room for its answer, in blocks that no other has."""
    size = runner.facts.block_size
    length = (3 * size + 5, 1, size, 2 * size - 1, size + 1)[number]
    need = -(-(length + ANSWER) // size)
    table = tuple(range(5 * number + need, 5 * number, -1))
    return Tale(name, prompt_of(runner, length, number), table, sampling)


def _due(tale: Tale, said: Sequence[int]) -> Slice:
    end = len(tale.prompt) + len(said)
    return tale.slice(said, end - 1 if said else 0, end)


def _next(runner: Runner, tale: Tale, said: Sequence[int]) -> int:
    end = len(tale.prompt) + len(said)
    return drawn(runner, tale.slice(said, end - 1, end))


def _write(runner: Runner, tale: Tale, cut: int) -> None:
    """Computes the KV of the prompt in pieces of `cut` tokens."""
    for start in range(0, len(tale.prompt), cut):
        launch(runner, tale.slice((), start, min(start + cut, len(tale.prompt))))


Check = Callable[[RunnerFactory], None]

CHECKS: tuple[Check, ...] = (
    facts_describe_the_arena,
    nothing_is_drawn_unless_asked,
    chunks_equal_the_whole,
    a_batch_changes_nothing,
    the_block_table_does_not_show,
    copied_blocks_are_the_same_kv,
    foreign_blocks_show,
    only_computed_memory_is_read,
    only_own_blocks_are_written,
    a_seed_fixes_the_answer,
    a_carried_token_is_the_one_drawn_before,
    an_empty_step_is_harmless,
)
