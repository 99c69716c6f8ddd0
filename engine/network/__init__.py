"""Network families: one file each.

A member is a module with a dataclass ``Config`` whose method ``build(shape, architecture, loss)`` gives a network.  A
network knows its function (``outputs``, and losses through ``kernels``) and its structure (``degree``, ``free``), which
is all that symmetries, paths and measures ask for, and whether it is what the options say (``reason``); see
``fully_connected.Network`` for the attributes and methods.
"""
