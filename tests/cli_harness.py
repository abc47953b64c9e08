"""The command line in tests: in this process, or in one of its own."""

import os
import re
import subprocess
import sys

from fastopt.cli import main

TINY = ["--samples", "10", "--hidden", "4", "--epochs", "3"]


def runner(tmp_path, monkeypatch, capsys):
    """Run the command in an empty folder; give exit code, output and errors. To be made a fixture."""
    monkeypatch.chdir(tmp_path)

    def run(*words):
        code = main([str(word) for word in words])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def process(*words, code="from fastopt.cli import main; sys.exit(main(sys.argv[1:]))", out=subprocess.PIPE, **options):
    """Run the command in a process of its own."""
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, "-c", f"import sys; {code}", *words]
    return subprocess.Popen(command, stdout=out, stderr=subprocess.PIPE, text=True, env=environment, **options)


def pictures(text):
    return re.findall(r"^(?:picture|animation) +(\S+)$", text, re.MULTILINE)
