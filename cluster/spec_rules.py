"""What must hold between the values of a spec."""

from __future__ import annotations

from dataclasses import fields

from cluster.spec import MockSpec, PoolSpec, Spec
from protocol.errors import InvalidSpec
from protocol.limits import Limits


def check_rules(spec: Spec) -> None:
    """Raises InvalidSpec for values that cannot go together."""
    if spec.pools.decode.replicas < 1:
        raise _wrong("pools.decode.replicas", "at least one decode worker is needed; write `replicas: 1`")
    _check_pool("pools.prefill", spec.pools.prefill)
    _check_pool("pools.decode", spec.pools.decode)
    _check_engine(spec)
    _check_int8(spec, "weights", spec.weights)
    _check_int8(spec, "kv_dtype", spec.kv_dtype)
    _check_limits(spec.limits)


def _check_engine(spec: Spec) -> None:
    if spec.computes:
        if spec.mock != MockSpec():
            raise _wrong("mock", "it is for modelled engines only; write `engine: modelled`, or leave it out")
        return
    if "int8" in (spec.weights, spec.kv_dtype):
        raise _wrong("engine", "modelled engines have no weights and no KV to quantise; leave int8 out")
    for name, pool in (("prefill", spec.pools.prefill), ("decode", spec.pools.decode)):
        if pool.replicas and spec.device_of(pool) != "cpu":
            raise _wrong(
                "engine", f"modelled engines need no device, and pools.{name} names one; leave it out"
            )


def _check_int8(spec: Spec, key: str, value: str) -> None:
    if value == "model":
        return
    if spec.dtype == "fp32":
        raise _wrong(key, f"int8 goes with bf16; write `dtype: bf16`, or `{key}: model`")
    for name, pool in (("prefill", spec.pools.prefill), ("decode", spec.pools.decode)):
        if pool.replicas and spec.device_of(pool) != "cpu":
            raise _wrong(
                key,
                f"int8 runs on CPUs only, and pools.{name} is on {spec.device_of(pool)}; "
                f"write `{key}: model`",
            )


def _check_pool(path: str, pool: PoolSpec) -> None:
    if pool.cores and pool.replicas and len(pool.cores) % pool.replicas:
        raise _wrong(
            f"{path}.cores",
            f"{len(pool.cores)} cores cannot be shared out evenly among {pool.replicas} workers; "
            f"name {pool.replicas} of them, or a multiple",
        )
    for name, amount in pool.resources.items():
        if amount <= 0:
            raise _wrong(f"{path}.resources.{name}", f"an amount above 0 is needed, not {amount}")


def _check_limits(limits: Limits) -> None:
    for one in fields(limits):
        if not 0 < getattr(limits, one.name) < 2**40:
            raise _wrong(f"limits.{one.name}", "a limit is above 0 and finite")
    _check_order(limits, "report_every_s", "silence_s", "or idle links would count as dead")
    _check_order(limits, "renew_every_s", "lease_s", "or leases would lapse between renewals")
    _check_order(limits, "default_timeout_s", "max_timeout_s", "or the default could not be asked for")
    if limits.max_pinned_share > 1:
        raise _wrong("limits.max_pinned_share", "a share is at most 1")


def _check_order(limits: Limits, small: str, large: str, reason: str) -> None:
    if getattr(limits, small) >= getattr(limits, large):
        raise _wrong(f"limits.{small}", f"must be below {large} ({getattr(limits, large)}), {reason}")


def _wrong(path: str, what: str) -> InvalidSpec:
    return InvalidSpec(f"{path}: {what}", param=path)
