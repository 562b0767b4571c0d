from sparseops.sparse_max_pool._reference import grad_to_first, sparse_max_pool  # noqa: F401
