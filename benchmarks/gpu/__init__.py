"""The losses and the training step as programs for an NVIDIA GPU.

TensorFlow hands XLA a program (HLO); jaxlib's XLA:GPU can compile and run it
where there is no TensorFlow for GPUs. Figures made here are those of the
TensorFlow program's HLO, compiled by jaxlib's XLA:GPU, and say so.

`export` and `programs` need TensorFlow; `aot`, `run` and what they import need
jax and no TensorFlow. Optional: nothing else in the project imports this.
"""
