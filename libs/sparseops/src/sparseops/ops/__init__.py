"""One folder per operator; take the public functions from `sparseops` itself.

Nothing is imported here: a function would hide the folder that it is named after.
"""
