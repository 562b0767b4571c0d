"""Records: what is known about a key frame before any sensor file is opened. Import from `datasets3d.nuscenes`.

`record` says what they are, `from_tables` builds them, `json_file` keeps them in a file of ours, `published` in
the layout of the release of Sparse Beats Dense.
"""
