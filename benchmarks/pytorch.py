"""The usual training loop in PyTorch, for comparison.

The project does not depend on PyTorch: without it this contender is left out.
"""

import itertools

try:
    import torch
except ImportError:
    torch = None


def loop(layers, batches, steps, temperature, soft_weight, hard_weight):
    """Distillation from given logits, one eager step after another.

    On a GPU, if PyTorch sees one, from tensors that are there already.

    Args:
      layers: sizes of the student, input and classes included.
      batches: list of (x, labels, teacher_logits), numpy arrays.
      steps: int, steps a call.
      temperature, soft_weight, hard_weight: floats, as in `kdtf.Distiller`.

    Returns:
      Function without arguments that trains, and raises `FloatingPointError` if
      the last loss is not finite.
    """
    parts = []
    for inputs, units in itertools.pairwise(layers):
        parts += [torch.nn.Linear(inputs, units), torch.nn.ReLU()]
    device = "cuda" if torch.cuda.is_available() else "cpu"
    student = torch.nn.Sequential(*parts[:-1]).to(device)
    optimizer = torch.optim.Adam(student.parameters(), 1e-3, fused=True)
    tensors = [
        [torch.tensor(each, device=device) for each in (x, y.astype(int), v)]
        for x, y, v in batches
    ]
    functional = torch.nn.functional

    def loss_of(x, y, v):
        z = student(x)
        soft = functional.kl_div(
            functional.log_softmax(z / temperature, -1),
            functional.log_softmax(v / temperature, -1),
            reduction="batchmean",
            log_target=True,
        )
        hard = functional.cross_entropy(z, y)
        total = soft_weight * temperature**2 * soft + hard_weight * hard
        return total / (soft_weight + hard_weight)

    def train():
        for batch in itertools.islice(itertools.cycle(tensors), steps):
            optimizer.zero_grad()
            loss = loss_of(*batch)
            loss.backward()
            optimizer.step()
        if not torch.isfinite(loss):
            raise FloatingPointError("PyTorch's loss is not finite")

    return train
