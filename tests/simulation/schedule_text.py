"""A scenario as a person reads it."""

from __future__ import annotations

from tests.simulation.scenario import Fault, Scenario, Strike, Visit


def lines(scene: Scenario) -> list[str]:
    """Sizes and rates, then faults and clients in order of time: seconds after the load began."""
    profile = scene.profile
    first = (
        f"{profile.prefills} prefill, {profile.decodes} decode, {profile.gateways} gateway, "
        f"{profile.blocks} blocks each; loss {profile.loss:.3f}, doubling {profile.doubling:.3f}, "
        f"jitter {profile.jitter_s:.4f} s, stalled reads {profile.reads.stall}, failed {profile.reads.fail}"
    )
    events = [(strike.at, _strike(strike, scene)) for strike in scene.strikes]
    events += [(visit.at, _visit(visit)) for visit in scene.visits]
    return [first] + [f"{at:9.4f}  {text}" for at, text in sorted(events)]


def _strike(strike: Strike, scene: Scenario) -> str:
    return f"{strike.fault.value}{_victims(strike, scene)}: {strike.for_s:.4f} s"


def _victims(strike: Strike, scene: Scenario) -> str:
    profile = scene.profile
    gateways = [f"gateway-{number}" for number in range(profile.gateways)]
    workers = [f"prefill-{number}" for number in range(profile.prefills)]
    workers += [f"decode-{number}" for number in range(profile.decodes)]
    match strike.fault:
        case Fault.DIRECTORY_AWAY:
            return ""
        case Fault.GATEWAY_CRASH | Fault.GATEWAY_JUMP:
            return f" {gateways[strike.who]}"
        case Fault.CUT:
            everyone = workers + gateways
            return f" {everyone[strike.who]} | {everyone[strike.other]}"
        case _:
            return f" {workers[strike.who]}"


def _visit(visit: Visit) -> str:
    request = visit.request
    text = (
        f"{request.id} asks gateway-{visit.gateway}: {len(request.prompt)} + {request.max_tokens} tokens, "
        f"temperature {request.sampling.temperature}"
    )
    if visit.leave_after_tokens is not None:
        text += f", leaves after {visit.leave_after_tokens} tokens"
    if visit.leave_after_s is not None:
        text += f", leaves after {visit.leave_after_s:.4f} s"
    return text
