"""How fast clips are drawn: `python -m stableanimator.synthetic.speed`."""

from __future__ import annotations

import time

import cv2

from stableanimator.synthetic.clips import KINDS, write_clip
from stableanimator.synthetic.renderer import ClipRenderer
from stableanimator.synthetic.script import ClipSettings


def frames_per_second(kind: str, settings: ClipSettings, seed: int = 0) -> float:
    """Frames of one clip of a kind per second of one core: drawing, truth and preparation, without encoding."""
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        started = time.process_time()
        count = sum(1 for _ in ClipRenderer(write_clip(kind, seed, settings)))
        return count / (time.process_time() - started)
    finally:
        cv2.setNumThreads(threads)


def main() -> None:
    """Print the speed of every kind of clip at 128x128."""
    settings = ClipSettings(width=128, height=128)
    for kind in KINDS:
        print(f"{kind:12} {frames_per_second(kind, settings):6.0f} frames of 128x128 per second of one core")


if __name__ == "__main__":
    main()
