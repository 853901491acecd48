"""Measures how far back baton-tiny recalls, in each dtype: `make bench-recall`.

Prints a table and, as its last line, one JSON object.
"""

from __future__ import annotations

import argparse
import platform
from pathlib import Path

import torch
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM, PreTrainedModel

from benchmarks.report import Reach, Report, Row, at_least
from models.recall import FACTS, Form, Outcome, answered, recall_probes, tool_probes
from models.tokenizer import FOLDER

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
DISTANCES = (50, 100, 250, 500, 1000, 1500, 2000, 4000, 7500)
TARGETS = {500: 0.95, 1500: 0.95}
SEED = 2026


def recall_row(
    model: PreTrainedModel, tokenizer: Tokenizer, dtype: str, distance: int, probes: int, crowd: int
) -> Row:
    """The share of probes answered exactly, over the three forms in equal parts."""
    right = [
        hit
        for form in Form
        for hit in answered(
            model, tokenizer, recall_probes(tokenizer, distance, form, probes // len(Form), SEED, crowd)
        )
    ]
    return Row(
        f"fact {distance} tokens back", f"baton-tiny {dtype}", "recall", sum(right) / len(right), "share"
    )


def tool_rows(model: PreTrainedModel, tokenizer: Tokenizer, dtype: str, probes: int) -> list[Row]:
    """The share of an assistant's turns that are exactly right, by what the turn should be."""
    found = list(tool_probes(probes, SEED))
    rows = []
    for outcome in Outcome:
        right = answered(model, tokenizer, [probe for kind, probe in found if kind is outcome])
        rows.append(Row(outcome.value, f"baton-tiny {dtype}", "exact", sum(right) / len(right), "share"))
    return rows


def reaches(rows: list[Row]) -> list[Reach]:
    return [
        at_least(f"{row.work}, {row.system}", row.metric, row.value, target)
        for distance, target in TARGETS.items()
        for row in rows
        if row.work == f"fact {distance} tokens back"
    ]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--model", type=Path, default=FOLDER)
    options.add_argument("--probes", type=int, default=150, help="per distance and dtype")
    options.add_argument("--facts", type=int, default=FACTS, help="in each probe")
    options.add_argument("--distances", type=int, nargs="+", default=list(DISTANCES))
    chosen = options.parse_args()
    tokenizer = Tokenizer.from_file(str(chosen.model / "tokenizer.json"))
    rows: list[Row] = []
    for name, dtype in DTYPES.items():
        model = AutoModelForCausalLM.from_pretrained(chosen.model, dtype=dtype).eval()
        for distance in chosen.distances:
            rows.append(recall_row(model, tokenizer, name, distance, chosen.probes, chosen.facts))
            print(f"{rows[-1].system:16} {rows[-1].work:28} {rows[-1].value:.3f}", flush=True)
        for row in tool_rows(model, tokenizer, name, chosen.probes):
            rows.append(row)
            print(f"{row.system:16} {row.work:28} {row.value:.3f}", flush=True)
    hardware = f"{platform.machine()}, {torch.get_num_threads()} torch threads"
    print(Report("recall", hardware, tuple(rows), tuple(reaches(rows))).text())


if __name__ == "__main__":
    main()
