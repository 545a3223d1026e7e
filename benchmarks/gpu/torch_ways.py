"""Times of PyTorch's lookups on a GPU: what the kernels are compared with.

    python benchmarks/gpu/torch_ways.py robe|train

`robe`: `EmbeddingBag` on all rows, with a sparse gradient. `train`: the same on
all rows, the products of a tensor train by `torch.bmm` on gathered slices, and
tensorly-torch and FBTT-Embedding where they are installed. Repeats are replays
of one CUDA graph, so that Python's time is left out, unless something in them
cannot be captured (`graph` in the JSON line says which were).
"""

import importlib.util
from collections.abc import Callable
from typing import Any

import harness
import numpy as np
import torch
from harness import Ways


def main() -> None:
    arguments = harness.arguments(__doc__)
    dry, what = arguments.dry_run, arguments.what
    if not dry and not torch.cuda.is_available():
        raise SystemExit("No GPU. --dry-run tries the code without one.")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.backends.cuda.matmul.allow_tf32 = False
    count = harness.repeats(dry)
    for case in harness.left(arguments.out, what, "torch", dry):
        steps = dict(STEPS[what](case, device))
        ways: Ways = {}
        captured = []
        for name, step in steps.items():
            ways[name], graph = repeated(step, count, device)
            captured += [name] if graph else []
        if ways:
            harness.write(
                arguments.out,
                what,
                "torch",
                case,
                harness.measured(ways, arguments.rounds, count),
                graph=captured,
                gpu=torch.cuda.get_device_name() if device == "cuda" else "",
                dry=dry,
                versions={"torch": torch.__version__},
            )
        del steps, ways
        if device == "cuda":
            torch.cuda.empty_cache()


def repeated(
    step: Callable[[], Any], count: int, device: str
) -> tuple[Callable[[], Any], bool]:
    """A call that repeats a step, and whether it replays a CUDA graph."""
    if device == "cpu":
        return lambda: [step() for _ in range(count)], False
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        for _ in range(3):
            step()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    try:
        with torch.cuda.graph(graph):
            step()
        work, whole = graph.replay, True
    except RuntimeError:  # it waits for the GPU, or allocates on the host
        torch.cuda.synchronize()
        work, whole = step, False

    def call() -> None:
        for _ in range(count):
            work()
        torch.cuda.synchronize()

    return call, whole


def bag_steps(rows: int, dim: int, at: Any, device: str) -> Ways:
    """`EmbeddingBag` of single ids on all rows, if the memory suffices."""
    if rows * dim > harness.LARGEST_TABLE:
        return {}
    bag = torch.nn.EmbeddingBag(
        rows, dim, mode="sum", sparse=True, device=device
    )
    at = torch.as_tensor(at.reshape(-1, 1), device=device).long()
    up = torch.randn(len(at), dim, device=device)

    def lookup() -> Any:
        with torch.no_grad():
            return bag(at)

    def both() -> None:
        bag.weight.grad = None
        bag(at).backward(up)

    return {
        "copy|lookup": lambda: up.clone(),
        "EmbeddingBag|lookup": lookup,
        "EmbeddingBag|both": both,
    }


def robe_steps(case: dict[str, Any], device: str) -> Ways:
    first = np.cumsum([0, *case["rows"]])[:-1]
    at = harness.robe_ids(case).astype(np.int64) + first
    return bag_steps(sum(case["rows"]), case["dim"], at, device)


def train_steps(case: dict[str, Any], device: str) -> Ways:
    ids = harness.train_ids(case).astype(np.int64)
    dim = int(np.prod(case["column_shape"]))
    return {
        **bag_steps(case["rows"], dim, ids, device),
        **bmm_steps(case, ids, device),
        **tensorly_steps(case, ids, device),
        **fbtt_steps(case, ids, device),
    }


def _steps(name: str, table: Any, parts: list[Any], ids: Any, dim: int) -> Ways:
    """Lookups, and with the gradients of `parts`."""
    up = torch.randn(len(ids), dim, device=ids.device)

    def lookup() -> Any:
        with torch.no_grad():
            return table(ids)

    def both() -> None:
        for part in parts:
            part.grad = None
        table(ids).backward(up)

    return {f"{name}|lookup": lookup, f"{name}|both": both}


def bmm_steps(case: dict[str, Any], ids: np.ndarray, device: str) -> Ways:
    """Batched small products of gathered slices, one for each id and core."""
    shapes = harness.train_shapes(case)
    cores = [
        torch.randn(p, left, q * right, device=device, requires_grad=True)
        for p, left, q, right in shapes
    ]

    def table(ids: Any) -> Any:
        digits = []
        for p, *_ in reversed(shapes):
            digits.append(ids % p)
            ids = ids // p
        digits.reverse()
        found = cores[0][digits[0]]
        for core, digit, (_, left, _, _) in zip(
            cores[1:], digits[1:], shapes[1:], strict=True
        ):
            found = torch.bmm(found.reshape(len(digit), -1, left), core[digit])
        return found.reshape(len(found), -1)

    at = torch.as_tensor(ids, device=device)
    return _steps("bmm", table, cores, at, int(np.prod(case["column_shape"])))


def tensorly_steps(case: dict[str, Any], ids: np.ndarray, device: str) -> Ways:
    if importlib.util.find_spec("tltorch") is None:
        return {}
    import tltorch

    shapes = harness.train_shapes(case)
    dim = int(np.prod(case["column_shape"]))
    table = tltorch.FactorizedEmbedding(
        int(np.prod(case["row_shape"])),
        dim,
        auto_tensorize=False,
        tensorized_num_embeddings=case["row_shape"],
        tensorized_embedding_dim=case["column_shape"],
        factorization="blocktt",
        rank=[left for _, left, _, _ in shapes] + [1],
    ).to(device)
    at = torch.as_tensor(ids, device=device)
    return _steps("tensorly-torch", table, list(table.parameters()), at, dim)


def fbtt_steps(case: dict[str, Any], ids: np.ndarray, device: str) -> Ways:
    """FBTT-Embedding, which has CUDA kernels alone."""
    if importlib.util.find_spec("tt_embeddings_ops") is None or device == "cpu":
        return {}
    from tt_embeddings_ops import TTEmbeddingBag

    dim = int(np.prod(case["column_shape"]))
    table = TTEmbeddingBag(
        case["rows"],
        dim,
        [case["rank"]] * (len(case["row_shape"]) - 1),
        tt_p_shapes=list(case["row_shape"]),
        tt_q_shapes=list(case["column_shape"]),
        sparse=False,  # it returns dense gradients, as the kernels do
        use_cache=False,
        weight_dist="uniform",
    ).to(device)
    at = torch.as_tensor(ids, device=device)
    offsets = torch.arange(len(ids) + 1, device=device)
    return _steps(
        "FBTT", lambda x: table(x, offsets), list(table.parameters()), at, dim
    )


STEPS = {"robe": robe_steps, "train": train_steps}

if __name__ == "__main__":
    main()
