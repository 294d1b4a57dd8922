from __future__ import annotations

from typing import Any

import pytest

from pipelines.shards.sheet import spread_lines


def _lines(bucket: str, crop: str, stride: int, shots: int) -> list[dict[str, Any]]:
    return [
        {"shot_id": f"{number:02}", "bucket": bucket, "crop": crop, "stride": stride, "rows": 3}
        for number in range(shots)
    ]


def test_every_bucket_crop_and_stride_is_shown_with_clips_from_all_over() -> None:
    lines = [
        *_lines("64x64", "centre", 1, 40),
        *_lines("64x64", "half_body", 1, 1),
        *_lines("96x64", "centre", 1, 10),
        *_lines("96x64", "centre", 2, 10),
        {"shot_id": "99", "bucket": None, "crop": "person", "stride": 1, "rows": 0},
    ]
    shown = spread_lines(lines[::-1], 10)
    assert [(line["bucket"], line["crop"], line["stride"], line["shot_id"]) for line in shown] == [
        *(("64x64", "centre", 1, shot) for shot in ("00", "13", "26")),
        ("64x64", "half_body", 1, "00"),
        *(("96x64", "centre", 1, shot) for shot in ("00", "03", "06")),
        *(("96x64", "centre", 2, shot) for shot in ("00", "03", "06")),
    ]


@pytest.mark.parametrize("most", [0, 5])
def test_nothing_to_show_is_no_line(most: int) -> None:
    assert spread_lines([], most) == []
    assert spread_lines(_lines("64x64", "centre", 1, 4), 0) == []
