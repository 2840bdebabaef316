"""Shifts the wall clock of a Python process by RAGDRILL_CLOCK_SKEW_S seconds (a fault's shim).

Found by the interpreter because its directory stands first in PYTHONPATH; another sitecustomize
further down the path is run as well.
"""

from __future__ import annotations

import os
import runpy
import sys
import time
from pathlib import Path

_skew_s = float(os.environ["RAGDRILL_CLOCK_SKEW_S"])
_true_time, _true_time_ns = time.time, time.time_ns
_skew_ns = round(_skew_s * 1e9)

time.time = lambda: _true_time() + _skew_s
time.time_ns = lambda: _true_time_ns() + _skew_ns

_here = Path(__file__).resolve().parent
for _entry in sys.path:
    _other = Path(_entry or ".") / "sitecustomize.py"
    if _other.is_file() and _other.resolve().parent != _here:
        runpy.run_path(str(_other), run_name="sitecustomize")
        break
