"""Check that everything that fastopt exports has a known type: ``python tools/verify_types.py``.

It asks Pyright about the installed package. Two modules have classes whose bases another library has, maybe without
types; of these the types of the bases are that library's affair.
"""

import json
import subprocess
import sys

ADAPTERS = ("fastopt.compat.sklearn.", "fastopt.compat.torch.")


def main() -> None:
    """Print what has no known type, and exit with 1 if anything has none."""
    command = ["pyright", "--verifytypes", "fastopt", "--ignoreexternal", "--outputjson"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    symbols = json.loads(done.stdout)["typeCompleteness"]["symbols"]
    if not symbols:
        sys.exit(f"pyright: expected the symbols of fastopt, got none: {done.stdout[:500]}")
    unknown = [
        symbol["name"]
        for symbol in symbols
        if symbol["isExported"] and not symbol["isTypeKnown"] and not symbol["name"].startswith(ADAPTERS)
    ]
    if unknown:
        sys.exit("\n".join(["without a known type:", *unknown]))
    print(f"{len(symbols)} symbols have known types")


if __name__ == "__main__":
    main()
