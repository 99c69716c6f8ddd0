"""Figures of a results table: one file each, found by name from ``sweep.figures``; no torch.

A member is a module with ``chart(table, config)``: the ``engine.report.chart.Chart`` of the rows of a sweep, or None
where they have nothing of what it shows; ``config`` is the recorded configuration, plain values.  One that reads
columns of lists names them in ``LISTS``: of a sweep with very many cells it is given the rows of some blocks only.
"""
