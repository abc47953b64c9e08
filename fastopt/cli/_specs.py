"""The text form of schedules and optimizers, ``NAME:ARG=VALUE,ARG=VALUE``."""

import re
from collections.abc import Collection, Iterable, Mapping

from fastopt.cli._errors import UsageError, did_you_mean

#: How the form is written in help texts.
FORM = "NAME[:ARG=VALUE,...]"


def split(text: str) -> tuple[str, dict[str, str]]:
    """Return the name and the values by argument, as texts; an argument without a value has an empty one."""
    name, _, rest = text.partition(":")
    parts = filter(None, (part.strip() for part in re.split("[:,]", rest)))
    pairs = (part.partition("=") for part in parts)
    return name.strip(), {argument.strip(): value.strip() for argument, _, value in pairs}


def is_old(text: str) -> bool:
    """Whether arguments are separated by colons, as in version 0.1."""
    return text.count(":") > 1


def split_list(words: Iterable[str]) -> list[str]:
    """Return the specs in `words`, each of which may have several, separated by commas like their arguments."""
    specs: list[str] = []
    for word in words:
        begun = False
        for part in filter(None, (part.strip() for part in word.split(","))):
            if begun and "=" in part and ":" not in part:
                specs[-1] += f",{part}"
            else:
                specs.append(part)
            begun = True
    return specs


def by_name(values: Mapping[str, str], known: Collection[str], what: str) -> dict[str, str]:
    """Return `values` by the names in `known`, in any way of writing them: max_lr, max-lr, MAX_LR."""
    bare = {name.replace("-", "_").lower(): name for name in known}
    found: dict[str, str] = {}
    for argument, value in values.items():
        name = bare.get(argument.replace("-", "_").lower())
        if name is None and (hint := did_you_mean(argument, known)):
            raise UsageError(f"{what} has no {argument!r}{hint}")
        if name is None or not value:
            got = f"{argument}={value}" if value else argument
            raise UsageError(f"{what} takes {', '.join(known)} as ARG=VALUE, got {got!r}")
        found[name] = value
    return found
