from __future__ import annotations

import subprocess
import sys


def test_the_driver_imports_no_networks_library() -> None:
    """They take it seconds and half a gigabyte, and its actors alone need them."""
    asked = "import sys, jobs.animate; print(*{'torch', 'diffusers', 'onnxruntime'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
