"""Other libraries' optimizers with fastopt's kernels: a module per library, under its name."""
