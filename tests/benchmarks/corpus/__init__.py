"""Realistic, seeded log trees of five coding agents, with the truth about what they cost.

``python -m corpus OUT --sessions N --bytes B`` (from tests/benchmarks); README.md there
explains truth.json. One module per agent; each session is made from its own random
generator, so the bytes depend neither on the number of processes nor on other sessions.
"""
