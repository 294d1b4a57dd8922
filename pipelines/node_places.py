"""How many processes with a reservation fit a cluster's machines: the one count, of jobs and of who checks them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping


def places(nodes: Iterable[Mapping[str, float]], needs: Mapping[str, float]) -> int:
    """Processes that fit when nothing else runs, each on one machine.

    Args:
        nodes: all that each machine has, by Ray's names (CPU and GPU as counts, memory in bytes).
        needs: of each process, by the same names; nothing of what is 0. Some of it must be above 0.
    """
    asked = {name: need for name, need in needs.items() if need > 0}
    return sum(min(int(node.get(name, 0) / need + 1e-6) for name, need in asked.items()) for node in nodes)


def most(nodes: Iterable[Mapping[str, float]], names: Iterable[str]) -> dict[str, float]:
    """The most that any one machine has of each resource."""
    rows = list(nodes)
    return {name: max((row.get(name, 0.0) for row in rows), default=0.0) for name in names}


def needs_text(needs: Mapping[str, float]) -> str:
    """`4 CPU cores and 0.5 GPUs and 2.0 GiB of memory`; memory is left out where none is reserved."""
    text = f"{needs.get('CPU', 0):g} CPU cores and {needs.get('GPU', 0):g} GPUs"
    return f"{text} and {needs['memory'] / 2**30:.1f} GiB of memory" if needs.get("memory") else text
