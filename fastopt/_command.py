"""The package as the command ``fastopt``: what stops the import is said in one sentence, not in a traceback.

The package is imported before any code of the command can run, and refuses what the environment asks for and cannot be
had. For a program that is an exception to handle; to whoever typed ``fastopt`` it is an answer.
"""

import os
import sys


def is_running() -> bool:
    """Whether this process was started as ``fastopt`` or ``python -m fastopt``."""
    program = sys.argv[0] if sys.argv else ""
    if program == "-m":  # until Python has found the module: then it is the path of its file
        return sys.orig_argv[-len(sys.argv)] in ("fastopt", "-mfastopt")
    name, suffix = os.path.splitext(os.path.basename(program))
    return name.removesuffix("-script") == "fastopt" and suffix in ("", ".exe", ".py", ".pyw")


def end(error: BaseException) -> None:
    """End the process because of what stopped the import, if it is the command's."""
    if not is_running():
        return
    interrupted = isinstance(error, KeyboardInterrupt)
    if sys.stderr is not None:
        sys.stderr.write(f"fastopt: {'interrupted' if interrupted else ' '.join(str(error).split())}\n")
    raise SystemExit(130 if interrupted else 2)
