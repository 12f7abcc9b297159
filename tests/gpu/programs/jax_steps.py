"""JAX: five compiled training steps of a small network."""
import os

import answers

os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"
# The same kernels in every run, whatever they cost in it.
os.environ["XLA_FLAGS"] = "--xla_gpu_deterministic_ops=true --xla_gpu_autotune_level=0"
if answers.DEVICE == "cpu":
    os.environ["JAX_PLATFORMS"] = "cpu"

import jax
import jax.numpy as jnp
import numpy as np

if answers.DEVICE == "cuda" and jax.default_backend() != "gpu":
    raise SystemExit(f"JAX runs on {jax.default_backend()}")


def loss(weights, x, y):
    return jnp.mean((jnp.tanh(x @ weights[0]) @ weights[1] - y) ** 2)


@jax.jit
def step(weights, x, y):
    value, gradients = jax.value_and_grad(loss)(weights, x, y)
    return value, [w - 0.1 * g for w, g in zip(weights, gradients)]


numbers = np.random.default_rng(7)
weights = [jnp.asarray(numbers.standard_normal(shape, np.float32) / 32) for shape in ((1024, 2048), (2048, 256))]
x, y = (jnp.asarray(numbers.standard_normal(shape, np.float32)) for shape in ((4096, 1024), (4096, 256)))
losses = []
for _ in range(5):
    value, weights = step(weights, x, y)
    losses.append(value)
results = [np.asarray(result) for result in [*losses, *weights]]
if not all(np.isfinite(result).all() for result in results):
    raise SystemExit("a result is not finite")
answers.answer(digest=answers.digest(*results), losses=[float(value) for value in losses])
