"""Where results are shown while a sweep runs: one file each.  The Parquet parts are the truth; tracking is a view.

A member is a module with a dataclass ``Config`` whose method ``start(config, directory)`` gives a tracker with:

``block(block, table)``       the rows of a finished block
``finish(table, figures)``    the whole table and the figures' files; table None where other shards are not done yet

A tracker never asks, never waits for long, and never takes the sweep down.
"""
