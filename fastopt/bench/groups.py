"""All groups of questions by name."""

from collections.abc import Callable, Iterator

from fastopt.bench import questions
from fastopt.bench.layerwise import layerwise
from fastopt.bench.questions import Level, Question
from fastopt.bench.startup import startup
from fastopt.bench.training import neighbours, training

#: Each takes the level and the number of threads to go up to; its docstring says what it shows.
GROUPS: dict[str, Callable[[Level, int], Iterator[Question]]] = {
    "peers": questions.peers,
    "memory": questions.memory,
    "overhead": questions.overhead,
    "models": questions.models,
    "training": training,
    "neighbours": neighbours,
    "threads": questions.threads,
    "growth": questions.growth,
    "rules": questions.rules,
    "layerwise": layerwise,
    "startup": startup,
}
