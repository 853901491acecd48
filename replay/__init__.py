"""Replays request traces in virtual time: the real planner, lean models of engines and links."""
