from sparseops.kernel_map._reference import pair_list, strided_sites, transpose  # noqa: F401
