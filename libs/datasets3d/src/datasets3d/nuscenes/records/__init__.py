"""Records: what is known about a key frame before its files are opened. Import from `datasets3d.nuscenes`.

`record` says what they are, `from_tables` builds them, `json_file` keeps them in a file of ours, `published`
in one laid out as in the release of Sparse Beats Dense.
"""
