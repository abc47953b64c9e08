"""The parameter arrays of whole models, computed from their architectures."""

from itertools import pairwise

from fastopt.bench.problem import Shape


def mlp(*widths: int) -> list[Shape]:
    """Weights and biases of dense layers."""
    shapes: list[Shape] = []
    for n_inputs, n_outputs in pairwise(widths):
        shapes += [(n_inputs, n_outputs), (n_outputs,)]
    return shapes


def resnet50() -> list[Shape]:
    """ResNet-50 for 1000 classes: 161 arrays, 25.6 million values (He et al., 2015, table 1).

    Convolutions have no bias; each is followed by a batch normalization of two arrays. The first
    block of every stage has a projection on its shortcut.
    """

    def convolution(n_inputs: int, n_outputs: int, size: int) -> list[Shape]:
        return [(n_outputs, n_inputs, size, size), (n_outputs,), (n_outputs,)]

    shapes = convolution(3, 64, 7)
    width = 64
    for blocks, inner in ((3, 64), (4, 128), (6, 256), (3, 512)):
        for block in range(blocks):
            outer = 4 * inner
            shapes += convolution(width, inner, 1) + convolution(inner, inner, 3)
            shapes += convolution(inner, outer, 1)
            if block == 0:
                shapes += convolution(width, outer, 1)
            width = outer
    return [*shapes, (1000, width), (1000,)]


def gpt2_small() -> list[Shape]:
    """GPT-2 small: 148 arrays, 124 million values (Radford et al., 2019, table 2).

    Embeddings of 50257 tokens and 1024 positions, 12 blocks of width 768; the output layer shares
    the token embedding.
    """
    width = 768
    norm: list[Shape] = [(width,), (width,)]
    block = [
        *norm, (width, 3 * width), (3 * width,), (width, width), (width,),
        *norm, (width, 4 * width), (4 * width,), (4 * width, width), (width,),
    ]  # fmt: skip
    return [(50257, width), (1024, width), *(12 * block), *norm]
