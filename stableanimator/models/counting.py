"""What code costs, counted without running it: operations and memory on fake tensors.

    with FakeTensorMode():
        network = nn.Linear(7, 11)
        count_flops(lambda: network(torch.empty(5, 7)))

`FakeTensorMode` runs the real code on tensors that have shapes and no data. Operations are those of matrix products,
convolutions and attention, two for a multiply-add (`torch.utils.flop_counter`). Memory is the greatest sum of storages
alive at one time, with attention that keeps no score matrix (as flash attention on a GPU); what an allocator or cuDNN
adds is not in it.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils import flop_counter
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


def _attention(query: Any, key: Any, value: Any, *_: Any, **__: Any) -> int:
    return int(flop_counter.sdpa_flop_count(query, key, value))


def _attention_backward(gradient: Any, query: Any, key: Any, value: Any, *_: Any, **__: Any) -> int:
    return int(flop_counter.sdpa_backward_flop_count(gradient, query, key, value))


# Fake tensors are on the CPU, whose attention the counter does not know.
_CPU_ATTENTION = {
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward,
}


def count_flops(work: Callable[[], object]) -> int:
    """Operations of matrix products, convolutions and attention in `work`, two for a multiply-add."""
    with flop_counter.FlopCounterMode(display=False, custom_mapping=_CPU_ATTENTION) as counter:
        work()
    return int(counter.get_total_flops())


class _Storages(TorchDispatchMode):
    """Adds up the storages that operations make, each until it is freed."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._alive: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        known = {leaf.untyped_storage()._cdata for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)}
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor) and leaf.untyped_storage()._cdata not in known | self._alive:
                self._watch(leaf.untyped_storage())
        return result

    def _watch(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()
        self._alive.add(key)
        self.now += size
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._freed, key, size)

    def _freed(self, key: int, size: int) -> None:
        self._alive.discard(key)
        self.now -= size


def peak_bytes(work: Callable[[], object]) -> int:
    """Most bytes alive at one time of what `work` makes; what existed before does not count."""
    with _Storages() as storages:
        work()
    return storages.peak


@contextmanager
def fake_tensors(weights: torch.dtype = torch.float32) -> Iterator[None]:
    """Tensors without data; what is built inside has weights of this type unless it says otherwise."""
    with FakeTensorMode():
        torch.set_default_dtype(weights)
        try:
            yield
        finally:
            torch.set_default_dtype(torch.float32)
