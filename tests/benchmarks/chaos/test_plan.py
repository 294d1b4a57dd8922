"""Which faults are planned."""

from __future__ import annotations

from collections import Counter

import pytest

from benchmarks.chaos.plan import KINDS, VERBS, plan


def test_a_whole_plan_is_every_kind_at_every_verb() -> None:
    faults = list(plan(len(KINDS) * len(VERBS), seed=3))
    assert Counter((each.kind, each.verb) for each in faults) == {(kind, verb): 1 for kind in KINDS for verb in VERBS}
    assert all(0.1 <= each.share <= 0.95 for each in faults)


@pytest.mark.parametrize("seed", range(5))
def test_a_part_of_it_is_of_many_kinds_and_all_verbs(seed: int) -> None:
    faults = list(plan(len(KINDS), seed))
    assert {each.kind for each in faults} == {*KINDS}
    assert Counter(each.verb for each in faults) == dict.fromkeys(VERBS, len(KINDS) // len(VERBS))


def test_plans_are_those_of_their_seed() -> None:
    assert list(plan(80, 1)) == list(plan(80, 1))
    assert list(plan(80, 1)) != list(plan(80, 2))
    assert list(plan(80, 1))[:10] == list(plan(10, 1))
