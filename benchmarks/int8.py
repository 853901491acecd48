"""Measures what int8 weights and int8 KV gain and what they cost: `make bench-int8`.

Speed: all formats are loaded in one process on the same threads, and their steps take turns, so that
whatever else the machine does hits all. Accuracy: each beside transformers in fp32, on the
random-weight model and on baton-tiny. Prints a table and, as its last line, one JSON object.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer

from benchmarks.box import hardware
from benchmarks.figures import percentile
from benchmarks.int8_accuracy import accuracy_rows, exact_logits
from benchmarks.int8_model import Format, PagedModel, Spent, Work
from benchmarks.model_047b import model_folder
from benchmarks.prompts import prompts
from benchmarks.report import Reach, Report, Row, at_least
from models.recall import Form, answered, recall_probes
from models.tokenizer import FOLDER

WORKS = {
    "decode batch 1": Work(1, 1, 127),
    "decode batch 8": Work(8, 1, 127),
    "decode batch 32": Work(32, 1, 127),
    "decode batch 8, context 1024": Work(8, 1, 1023),
    "prefill 512": Work(1, 512, 0),
}
KV_TOKENS = 8 * 1024
BASE = "bf16"
FORMATS = {
    BASE: Format(),
    "int8 weights": Format(weights="int8"),
    "int8 KV": Format(kv_dtype="int8"),
    "int8 both": Format("int8", "int8"),
}
TARGET = 1.0
"""The least that is worth having: not slower."""
DISTANCE = 250
SEED = 2026


def speed_rows(models: dict[str, PagedModel], steps: int) -> list[Row]:
    """Steps in turns; a gain is the median over turns, so each is measured beside the other."""
    rows = []
    for name, work in WORKS.items():
        count = max(4, steps // 8) if work.tokens > 1 else steps
        for model in models.values():
            model.spent(work)
        turns = [{system: model.spent(work) for system, model in models.items()} for _ in range(count)]
        for system in models:
            rows += step_rows(name, system, turns)
    for system, model in models.items():
        rows.append(Row("bytes", system, "weights that a step reads", model.weight_bytes / 1e6, "MB"))
        rows.append(Row("bytes", system, "KV of one token", model.token_bytes / 1e3, "kB"))
    return rows


def step_rows(work: str, system: str, turns: Sequence[Mapping[str, Spent]]) -> list[Row]:
    """Of one format, beside the base."""
    wall = [turn[system].wall_s for turn in turns]
    cpu = [turn[system].cpu_s for turn in turns]
    rows = [
        Row(work, system, "step, median", 1e3 * percentile(wall, 0.5), "ms"),
        Row(work, system, "step, fastest", 1e3 * min(wall), "ms"),
        Row(work, system, "CPU of a step, median", 1e3 * percentile(cpu, 0.5), "ms"),
    ]
    if system == BASE:
        return rows
    faster = percentile([turn[BASE].wall_s / turn[system].wall_s for turn in turns], 0.5)
    lighter = percentile([turn[BASE].cpu_s / turn[system].cpu_s for turn in turns], 0.5)
    return [
        *rows,
        Row(work, system, "speed-up, median of turns", faster, "x"),
        Row(work, system, "the same in CPU time", lighter, "x"),
    ]


def recall_rows(models: dict[str, PagedModel], tokenizer: Tokenizer, probes: int) -> list[Row]:
    """The share of probes answered exactly; see benchmarks/recall.py."""
    asked = [
        probe
        for form in Form
        for probe in recall_probes(tokenizer, DISTANCE, form, probes // len(Form), SEED)
    ]
    rows = []
    for system, model in models.items():
        paged: Any = model
        right = answered(paged, tokenizer, asked)
        rows.append(
            Row("baton-tiny", system, f"recall {DISTANCE} tokens back", sum(right) / len(right), "share")
        )
    return rows


def tiny_texts(tokenizer: Tokenizer, count: int) -> list[list[int]]:
    """Prompts of the recall benchmark, with their answers."""
    probes = recall_probes(tokenizer, DISTANCE, Form.CHAT, count, SEED + 1)
    return [tokenizer.encode(one.prompt + one.answer, add_special_tokens=False).ids for one in probes]


def model_rows(
    name: str,
    models: dict[str, PagedModel],
    texts: Sequence[Sequence[int]],
    exact: Sequence[torch.Tensor],
) -> list[Row]:
    """Accuracy of each format."""
    return [row for system, one in models.items() for row in accuracy_rows(name, system, one, texts, exact)]


def reached(rows: Sequence[Row]) -> list[Reach]:
    """Where int8 is not slower."""
    return [
        at_least(f"{row.work}, {row.system}", row.metric, row.value, TARGET)
        for row in rows
        if row.unit == "x"
    ]


def main() -> None:
    """Prints the report."""
    parser = argparse.ArgumentParser(description=__doc__, prog="benchmarks.int8")
    parser.add_argument("--quick", action="store_true", help="fewer steps, texts and probes")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--cache", type=Path, help="where the random-weight model is kept")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    machine = hardware()
    tokenizer = Tokenizer.from_file(str(FOLDER / "tokenizer.json"))
    tiny = {name: PagedModel(FOLDER, form, 2048) for name, form in FORMATS.items()}
    texts = tiny_texts(tokenizer, 4 if args.quick else 20)
    rows = recall_rows(tiny, tokenizer, 30 if args.quick else 150)
    rows += model_rows("baton-tiny", tiny, texts, exact_logits(FOLDER, texts))
    folder = model_folder(args.cache)
    asked = prompts("int8", 1 if args.quick else 4, 256)
    exact = exact_logits(folder, asked)  # before the others: its fp32 weights take 2 GB while it runs
    large = {name: PagedModel(folder, form, KV_TOKENS) for name, form in FORMATS.items()}
    rows = speed_rows(large, 16 if args.quick else 100) + rows
    rows += model_rows("random 0.47 B", large, asked, exact)
    load = os.getloadavg()
    notes = (f"{args.threads} threads; load average at the end {load[0]:.1f} (1 min), {load[1]:.1f} (5 min)",)
    print(Report("int8", machine, tuple(rows), tuple(reached(rows)), notes=notes).text())


if __name__ == "__main__":
    main()
