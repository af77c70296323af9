"""The records of an evaluation are cheap to import."""

import subprocess
import sys


def test_reading_an_evaluation_needs_neither_numpy_nor_yaml():
    """What shows a status can import its words without the engine's parts."""
    code = (
        "import sys, slotel.engine.evaluation, slotel.slo.preset, slotel.slo.promise\n"
        "print(sorted({'numpy', 'ruamel.yaml', 'opentelemetry'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
