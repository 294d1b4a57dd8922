from __future__ import annotations

import pickle

import pytest

from stableanimator.errors import DecodeError, DecodeTimeout, RowError, WeightsError, row_error


def test_what_goes_wrong_with_a_row_becomes_its_reason() -> None:
    odd = DecodeError("odd", "content")
    assert row_error(odd, "broke") is odd
    hung = row_error(DecodeTimeout("a.mp4: nothing came within 9 s"), "broke")
    assert (hung.reason, hung.detail) == ("decode_timeout", "DecodeTimeout: a.mp4: nothing came within 9 s")
    broken = row_error(KeyError("x\n" + 999 * "y"), "broke")
    assert broken.reason == "broke"
    assert broken.detail.startswith("KeyError: ")
    assert len(broken.detail) == 300
    assert "\n" not in broken.detail


def test_a_users_mistake_is_no_rows() -> None:
    with pytest.raises(WeightsError, match="missing"):
        row_error(WeightsError("missing"), "broke")


def test_reasons_travel_between_processes() -> None:
    travelled = pickle.loads(pickle.dumps(RowError("odd", "content")))
    assert (travelled.reason, travelled.detail, str(travelled)) == ("odd", "content", "odd: content")
