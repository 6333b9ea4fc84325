"""The combined distribution in float64 numpy, by two slow ways.

A case is p_g `[classes]` and for every active specialist p_m `[classes]`, 0
outside of its set, its dustbin's d_m and the mask of its set: arrays `[A,
classes]`, `[A]` and `[A, classes]`.
"""

import numpy as np

from tests import reference


def case(generalist_logits, specialist_logits, active, sets):
    """A case of one row of what `combine` takes."""
    p_g = reference.softmax(generalist_logits)
    called = [m for m in active if m >= 0]
    p = np.zeros((len(called), len(p_g)))
    dustbins, inside = np.zeros(len(called)), np.zeros(p.shape, bool)
    for row, m in enumerate(called):
        size = len(sets[m])
        logits = np.asarray(specialist_logits[row], np.float64)
        own = reference.softmax(np.append(logits[:size], logits[-1]))
        p[row, sets[m]], dustbins[row] = own[:-1], own[-1]
        inside[row, sets[m]] = True
    return p_g, p, dustbins, inside


def fixed_point_step(q, p_g, p, dustbins, inside):
    """q_i <- (p_g,i + sum_m r_m,i) / (1 + A), the paper's reference."""
    outside = ~inside
    share = dustbins / (outside @ q)
    return (p_g + p.sum(0) + q * (share @ outside)) / (1 + len(dustbins))


def fixed_point(p_g, p, dustbins, inside, tolerance=1e-13, most=50_000):
    """q `[classes]`, and the number of steps until its logs stood still."""
    q = (p_g + p.sum(0)) / (1 + len(dustbins) - dustbins.sum())
    for step in range(1, most + 1):
        old, q = q, fixed_point_step(q, p_g, p, dustbins, inside)
        if np.abs(np.log(q / old)).max() < tolerance:
            return q, step
    raise AssertionError(f"no fixed point after {most} steps")


def objective(q, p_g, p, dustbins, inside):
    """KL(p_g, q) + sum_m KL(p_m, q) without the terms that q is not in."""
    own = (p_g + p.sum(0)) @ np.log(q)
    return -own - dustbins @ np.log(~inside @ q)


def gradient_descent(p_g, p, dustbins, inside, steps=2_000, rate=0.3):
    """q = softmax(z), z down the gradient of the objective, with momentum."""
    z, speed = np.log(p_g), 0.0
    weight = 1 + len(dustbins)
    for _ in range(steps):
        q = reference.softmax(z)
        # d/dz of -sum base_i log q_i - sum d_m log Q_m: the sum of the
        # weights times q, minus what each term gives back to its classes.
        shares = (dustbins / (~inside @ q)) @ ~inside
        gradient = weight * q - (p_g + p.sum(0) + q * shares)
        speed = 0.9 * speed - rate * gradient
        z = z + speed
    return reference.softmax(z)
