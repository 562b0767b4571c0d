from sparseops.sparse_conv._reference import sparse_conv, weight_grad  # noqa: F401
