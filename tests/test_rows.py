"""Rows of tables: updates that cost what the rows cost, and leave all others alone."""

import itertools

import numpy as np
import oracle
import pytest
from backends import using
from harness import DTYPES, LAYOUTS, Frozen, assert_close, assert_same_bits, each_dtype, listed, update
from hypothesis import given
from hypothesis import strategies as st
from optimizer_harness import build
from table import OPTIMIZER_VARIANTS, VARIANTS

import fastopt
from fastopt import kernels
from fastopt.kernels import _backend

TABLE = (40, 7)

each_variant = pytest.mark.parametrize("case", [case for case in VARIANTS if not case.rule.layerwise], ids=str)
each_optimizer = pytest.mark.parametrize("case", [case for case in OPTIMIZER_VARIANTS if not case.layerwise], ids=str)


def touched(case, shape, rows, dtype, seed=0):
    """Tables of a rule, and a gradient with a row for each index."""
    arrays = case.arrays(shape, dtype, seed)
    arrays["grad"] = case.arrays((len(rows), *shape[1:]), dtype, seed + 1)["grad"]
    return arrays


def some_rows(n, table, seed=0):
    return np.random.default_rng(seed).integers(0, table, n)


@each_variant
@pytest.mark.parametrize("shape", [(40,), TABLE, (40, 3, 5), (40, 300), (40, 1)])
def test_rows_are_updated_as_the_oracle_says(backend, case, shape):
    """Among them rows that are named several times, and some longer than what is summed at a time."""
    for dtype, step in itertools.product(DTYPES, (1, 2)):
        rows = some_rows(30, 40)
        assert len(set(rows)) < 30
        arrays = touched(case, shape, rows, dtype)
        exact = {name: array.astype(np.float64) for name, array in arrays.items()}
        expected = oracle.of_rows(case.rule.oracle, rows, exact, **case.options_at(step))
        before = {name: array.copy() for name, array in arrays.items()}
        frozen = Frozen(arrays["grad"], rows)
        with using(backend):
            update(case, arrays, step, rows=rows)
        others = np.setdiff1d(np.arange(40), rows)
        for name in ("param", *case.states):
            assert_close(arrays[name], expected[name], 3, f"{name}, {dtype.__name__}")
            assert_same_bits(arrays[name][others], before[name][others], name)
        frozen.assert_unchanged()


@each_variant
@given(rows=st.lists(st.integers(0, 11), max_size=25), length=st.sampled_from([0, 1, 5, 300]))
def test_same_bits_as_rows_by_themselves(case, rows, length):
    """Sums are taken in the order of the gradient's rows."""
    arrays = touched(case, (12, length), rows, np.float32)
    sums = {}
    for row, grad in zip(rows, arrays["grad"], strict=True):
        sums[row] = sums[row] + grad if row in sums else grad
    alone = {name: array.copy() for name, array in arrays.items() if name != "grad"}
    update(case, arrays, rows=rows)
    for row, grad in sums.items():
        update(case, {name: array[row] for name, array in alone.items()} | {"grad": grad})
    for name in ("param", *case.states):
        assert_same_bits(arrays[name], alone[name], name)


@each_variant
def test_same_bits_on_all_backends_and_in_all_parts(backend, share_all, set_threads, case):
    for dtype, n_threads in itertools.product(DTYPES, (1, 3)):
        rows = some_rows(90, 40), some_rows(9, 40, 1)
        ours, theirs = (
            listed(touched(case, (40, 300), rows[0], dtype), touched(case, TABLE, rows[1], dtype)) for _ in range(2)
        )
        set_threads(1)
        with _backend.using("numpy"):
            update(case, ours, rows=list(rows))
        set_threads(n_threads)
        with using(backend):
            update(case, theirs, rows=list(rows))
        for name in ("param", *case.states):
            for one, two in zip(ours[name], theirs[name], strict=True):
                assert_same_bits(two, one, f"{name}, {n_threads} threads")


@each_dtype
def test_gradients_of_rows_in_every_layout_and_type(backend, dtype):
    rows = some_rows(20, 40)
    grad = np.random.default_rng(1).normal(size=(20, 7)).astype(np.float32)
    expected = np.ones(TABLE, dtype)
    kernels.sgd(expected, grad.astype(dtype), lr=0.5, rows=rows)
    for layout in LAYOUTS:
        placed, _ = layout.place(grad)
        table = np.ones(TABLE, dtype)
        with using(backend):
            kernels.sgd(table, placed, lr=0.5, rows=rows, cast_grads=True)
        assert_same_bits(table, expected, layout.name)


def test_tables_of_rows_apart(backend):
    """Rows lie in one piece each, wherever they lie: every second row, backwards, with something between them."""
    rows = some_rows(20, 40)
    grad = np.random.default_rng(1).normal(size=(20, 7))
    expected = np.ones(TABLE)
    kernels.sgd(expected, grad, lr=0.5, rows=rows)
    for view in (lambda base: base[::2, :7], lambda base: base[79::-2, 2:9], lambda base: base[40:, 3:10]):
        base = np.ones((80, 10))
        with using(backend):
            kernels.sgd(view(base), grad, lr=0.5, rows=rows)
        assert_same_bits(view(base).copy(), expected)
        view(base)[...] = 1
        assert (base == 1).all()


@pytest.mark.parametrize("kind", [list, tuple, np.int32, np.uint8, np.int64, np.uint64, ">i4"])
def test_indices_of_every_kind(kind):
    table, grad = np.zeros((5, 2)), np.ones((3, 2))
    rows = [4, 1, 4]
    kernels.sgd(table, grad, lr=1.0, rows=kind(rows) if kind in (list, tuple) else np.array(rows, kind))
    assert table[:, 0].tolist() == [0, -1, 0, 0, -2]


def test_indices_with_gaps_and_no_indices():
    table, grad = np.zeros((5, 2)), np.ones((3, 2))
    kernels.sgd(table, grad, lr=1.0, rows=np.arange(6)[::2][::-1])
    assert table[:, 0].tolist() == [-1, 0, -1, 0, -1]
    kernels.sgd(table, np.ones((0, 2)), lr=1.0, rows=[])
    assert table[:, 0].tolist() == [-1, 0, -1, 0, -1]


@pytest.mark.parametrize(
    ("rows", "error", "message"),
    [
        ([0, 5, 1], IndexError, r"rows: expected integers in \[0, 5\) like the rows of param, got 5"),
        ([0, -1, 1], IndexError, r"rows: expected integers in \[0, 5\) like the rows of param, got -1"),
        (np.array([0, 2**63, 1], np.uint64), IndexError, r"rows: expected integers in \[0, 5\)"),
        ([0.0, 1.0, 2.0], TypeError, "rows: expected integers, got dtype float64"),
        ([True, False, True], TypeError, "rows: expected integers, got dtype bool"),
        ([[0, 1, 2]], ValueError, r"rows: expected indices of rows along one axis, got shape \(1, 3\)"),
        (1, ValueError, r"rows: expected indices of rows along one axis, got shape \(\)"),
        ([0, 1], ValueError, r"grad: expected shape \(2, 2\) like param for 2 rows, got \(3, 2\)"),
        ("abc", (TypeError, ValueError), "rows: expected"),
    ],
)
def test_rows_that_do_not_fit(backend, rows, error, message):
    table, grad, buffer = np.ones((5, 2)), np.ones((3, 2)), np.zeros((5, 2))
    with using(backend):
        with pytest.raises(error, match=f"^{message}"):
            kernels.momentum(table, grad, buffer, lr=1.0, momentum=0.9, rows=rows)
        with pytest.raises(error):
            fastopt.SGD([table], lr=1.0, momentum=0.9).step([grad], rows=[rows])
    assert (table == 1).all()
    assert (buffer == 0).all()


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (np.ones(()), "param: expected an array with rows, got one without axes"),
        (np.ones((5, 2), order="F"), "param: expected rows that lie in one piece each, got strides"),
        (np.ones((5, 4))[:, ::2], "param: expected rows that lie in one piece each, got strides"),
        (np.broadcast_to(np.ones(2), (5, 2)), "param: expected a writable array"),
        (np.ones((5, 3)), r"grad: expected shape \(3, 3\) like param for 3 rows, got \(3, 2\)"),
    ],
)
def test_tables_that_do_not_fit(backend, table, message):
    with using(backend), pytest.raises(ValueError, match=f"^{message}"):
        kernels.sgd(table, np.ones((3, 2)), lr=1.0, rows=[0, 1, 2])


def test_rows_of_some_tensors():
    tables, grads = [np.zeros((4, 2)), np.zeros(3), np.zeros((5, 1))], [np.ones((2, 2)), np.ones(3), np.ones((1, 1))]
    kernels.sgd(tables, grads, lr=1.0, rows=[[3, 3], None, [2]])
    assert [table.sum() for table in tables] == [-4, -3, -1]
    with pytest.raises(ValueError, match=r"^rows: expected a list of 3 entries like param, got 2 entries"):
        kernels.sgd(tables, grads, lr=1.0, rows=[[3, 3], None])
    with pytest.raises(
        IndexError, match=r"^rows\[2\]: expected integers in \[0, 5\) like the rows of param\[2\], got 9"
    ):
        kernels.sgd(tables, grads, lr=1.0, rows=[[3, 3], None, [9]])
    assert [table.sum() for table in tables] == [-4, -3, -1]


@each_optimizer
def test_optimizers_of_tables_and_layers(case):
    """A step on rows of one and on all of another is that of two optimizers, and goes on as before without rows."""
    rng = np.random.default_rng(0)
    table, layer = rng.normal(size=(9, 4)), rng.normal(size=(3, 3))
    alone = [table.copy(), layer.copy()]
    opt, others = build(case, {"table": table, "layer": layer}), [build(case, array) for array in alone]
    for step in range(4):
        rows = None if step == 2 else rng.integers(0, 9, 5)
        grads = rng.normal(size=(9 if rows is None else 5, 4)), rng.normal(size=(3, 3))
        opt.step({"table": grads[0], "layer": grads[1]}, rows=rows if rows is None else {"table": rows, "layer": None})
        others[0].step(grads[0], rows=rows)
        others[1].step(grads[1])
    for one, two in zip((table, layer), alone, strict=True):
        assert_same_bits(one, two)
    assert opt.steps == 4


def test_rows_are_refused_where_an_update_depends_on_the_whole_table():
    table = np.ones(TABLE)
    opt = fastopt.LAMB(table)
    with pytest.raises(ValueError, match=r"^rows: expected None, since its update depends on the whole array, got"):
        opt.step(np.ones((2, 7)), rows=[1, 2])
    assert (table == 1).all()
    assert opt.steps == 0


def test_rows_of_a_table_beside_a_matrix_of_muon():
    table, hidden, other, alone = np.ones((5, 2)), np.ones((3, 2)), np.ones((5, 2)), np.ones((3, 2))
    opt = fastopt.Muon([{"params": [hidden]}, {"params": [table], "adamw": True}], lr=0.1)
    opt.step([[np.ones((3, 2))], [np.ones((1, 2))]], rows=[None, [[3]]])
    fastopt.AdamW([other], lr=0.1, weight_decay=0.1).step([np.ones((1, 2))], rows=[[3]])
    fastopt.Muon([alone], lr=0.1).step([np.ones((3, 2))])
    assert_same_bits(table, other)
    assert_same_bits(hidden, alone)
    with pytest.raises(ValueError, match=r"^rows\[0\]\[0\]: expected None, since its update depends on the whole"):
        opt.step([[np.ones((1, 2))], [np.ones((1, 2))]], rows=[[[1]], [[3]]])


def test_rows_of_groups_with_missing_gradients():
    first, second = np.zeros((4, 2)), [np.zeros((3, 2)), np.zeros(2)]
    opt = fastopt.SGD([{"params": first}, {"params": second}], lr=1.0)
    opt.step([np.ones((2, 2)), [None, np.ones(2)]], rows=[[1, 1], [None, None]], skip_none=True)
    opt.step([np.ones((4, 2)), [np.ones((1, 2)), np.ones(2)]], rows=[None, [[2], None]])
    assert (first.sum(), second[0].sum(), second[1].sum()) == (-12, -2, -4)
    with pytest.raises(ValueError, match=r"^rows: expected a list with an entry for each of 2 groups, got 1 entries"):
        opt.step([np.ones((4, 2)), [np.ones((1, 2)), np.ones(2)]], rows=[None])
    with pytest.raises(ValueError, match=r"^rows\[1\]: expected 2 entries like params, got 1"):
        opt.step([np.ones((4, 2)), [np.ones((1, 2)), np.ones(2)]], rows=[None, [[2]]])
    assert opt.steps == 2


# One number for each row.


@each_dtype
@pytest.mark.parametrize("options", [{}, {"eps": 0.1}, {"grad_scale": -0.5, "clip_value": 0.4}])
def test_rowwise_adagrad_is_the_oracles(backend, dtype, options):
    rng = np.random.default_rng(0)
    table, sums = rng.normal(size=(40, 7)).astype(dtype), rng.uniform(0.5, 2.0, 40).astype(dtype)
    exact = {"param": table.astype(np.float64), "sum": sums.astype(np.float64)}
    for step in range(1, 4):
        rows = rng.integers(0, 40, 30)
        exact["grad"] = rng.normal(size=(30, 7))
        grad = exact["grad"].astype(dtype)
        exact["grad"] = grad.astype(np.float64)
        exact |= oracle.of_rows(oracle.rowwise_adagrad, rows, exact, lr=0.1, **options)
        with using(backend):
            kernels.rowwise_adagrad(table, grad, sums, rows=rows, lr=0.1, **options)
        assert_close(table, exact["param"], step)
        assert_close(sums, exact["sum"], step)


def test_rowwise_adagrad_of_all_rows():
    table, sums = np.ones((3, 2)), np.zeros(3)
    kernels.rowwise_adagrad(table, np.full((3, 2), 2, np.float32), sums, lr=0.5, cast_grads=True)
    assert sums.tolist() == [4, 4, 4]
    assert np.allclose(table, 0.5)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"sum": np.zeros(4)}, ValueError, r"sum: expected shape \(5,\) and dtype float64, got \(4,\) and float64"),
        (
            {"sum": np.zeros(5, "f4")},
            ValueError,
            r"sum: expected shape \(5,\) and dtype float64, got \(5,\) and float32",
        ),
        ({"rows": [0, 9]}, IndexError, r"rows: expected integers in \[0, 5\)"),
        ({"lr": -1.0}, ValueError, "lr: expected"),
        ({"grad": np.ones((2, 2), "f4")}, TypeError, "grad: expected dtype float64"),
        ({"param": np.ones(())}, ValueError, "param: expected an array with rows"),
    ],
)
def test_rowwise_adagrad_refuses(arguments, error, message):
    given = {
        "param": np.ones((5, 2)),
        "grad": np.ones((2, 2)),
        "sum": np.zeros(5),
        "rows": [0, 1],
        "lr": 0.1,
    } | arguments
    before = Frozen(given["param"], given["sum"])
    with pytest.raises(error, match=f"^{message}"):
        kernels.rowwise_adagrad(**given)
    before.assert_unchanged()
    shared = np.ones((5, 1))
    with pytest.raises(ValueError, match=r"^sum: expected memory of its own"):
        kernels.rowwise_adagrad(shared, np.ones((1, 1)), shared[:, 0], rows=[0], lr=0.1)


# PyTorch's optimizers of sparse gradients.


@pytest.mark.filterwarnings("ignore:Sparse invariant checks")
@pytest.mark.parametrize("name", ["SparseAdam", "Adagrad", "SGD"])
def test_sparse_steps_of_pytorch(name):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    table = rng.standard_normal((50, 8))
    theirs = torch.nn.Parameter(torch.tensor(table.copy()))
    opt = getattr(torch.optim, name)([theirs], lr=0.01)
    states = [np.zeros_like(table) for _ in range({"SparseAdam": 2, "Adagrad": 1, "SGD": 0}[name])]
    for step in range(1, 200):
        rows, grad = rng.integers(0, 50, 12), rng.standard_normal((12, 8))
        theirs.grad = torch.sparse_coo_tensor(
            torch.tensor(rows)[None], torch.tensor(grad), (50, 8), check_invariants=True
        )
        opt.step()
        if name == "SparseAdam":
            kernels.adam(table, grad, *states, step=step, lr=0.01, eps_hat=True, rows=rows)
        elif name == "Adagrad":
            kernels.adagrad(table, grad, *states, lr=0.01, rows=rows)
        else:
            kernels.sgd(table, grad, lr=0.01, rows=rows)
    assert np.allclose(table, theirs.detach().numpy(), rtol=1e-9, atol=0)
