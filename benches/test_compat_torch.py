"""What the optimizers of `fastopt.compat.torch` gain over PyTorch's own: whole calls of ``step()``, hooks included.

The tables that pytest-benchmark prints have the ratios in brackets, of each contender to the fastest. Columns to read
are Min and Median. ``torch_rules.py`` has one table for every rule.
"""

import pytest

import fastopt

torch = pytest.importorskip("torch")
compat = pytest.importorskip("fastopt.compat.torch")

MODELS = {
    "784-512-10": [(784, 512), (512,), (512, 10), (10,)],
    "80 x 1,000": [(1000,)] * 80,
    "4,000,000": [(2000, 2000)],
}
OPTIMIZERS = {
    "SGD": {"momentum": 0.9},
    "Adagrad": {},
    "RMSprop": {},
    "Adam": {},
    "AdamW": {},
    "Adamax": {},
    "NAdam": {},
    "RAdam": {},
    "Adadelta": {},
    "Rprop": {},
}
CONTENDERS = {"fastopt": {}, "torch": {}, "torch fused": {"fused": True}}
FUSED = {"SGD", "Adagrad", "Adam", "AdamW"}


@pytest.mark.parametrize("threads", sorted({1, fastopt.get_num_threads()}))
@pytest.mark.parametrize("contender", CONTENDERS)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("model", MODELS)
def test_step(benchmark, model, optimizer, contender, threads):
    if contender == "torch fused" and optimizer not in FUSED:
        pytest.skip("PyTorch has it not fused on the CPU")
    made = torch.Generator().manual_seed(0)
    params = [torch.nn.Parameter(torch.randn(shape, generator=made)) for shape in MODELS[model]]
    for param in params:
        param.grad = torch.randn(param.shape, generator=made)
    module = compat if contender == "fastopt" else torch.optim
    opt = getattr(module, optimizer)(params, **OPTIMIZERS[optimizer], **CONTENDERS[contender])
    benchmark.group, benchmark.name = f"{optimizer}, {model}, threads: {threads}", contender
    before = torch.get_num_threads(), fastopt.get_num_threads()
    torch.set_num_threads(threads)
    fastopt.set_num_threads(threads)
    try:
        opt.step()
        benchmark(opt.step)
    finally:
        torch.set_num_threads(before[0])
        fastopt.set_num_threads(before[1])
