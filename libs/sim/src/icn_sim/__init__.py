"""The production core of consensus over simulated network, disks and clocks.

Source: docs/spec/simulator.md.
"""
