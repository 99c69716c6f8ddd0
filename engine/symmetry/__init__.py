"""Symmetries of networks: one group per file, found by name.

A member is a module with a class ``Group(network, options)``, where ``options`` is the module's dataclass ``Config`` if
it has one, and these attributes and methods.  An element ``g`` is a tuple with one tensor per hidden layer; elements
and stacks of networks share their batch axes, so one call acts on all of them.

``relation``     the word for a pair whose second minimum is ``act(g, first)``, or None
``reason``       why this is no symmetry of the network, or None
``random(generator)``            one element, batch ``(1,)``, float64
``related(pair, generator)``     the element that makes the second minimum of a pair; usually ``random``
``act(g, weights)``              the moved stack: same function
``compose(g, h)``, ``inverse(g)``   ``act(compose(g, h), w) = act(g, act(h, w))``
``log(g)``       the direction ``ξ`` of the curve ``exp(t ξ)`` from the identity to ``g``, a tuple of tensors that share
                 the batch axis, and for each entry None or the reason why there is none; None for a discrete group
``exp(xi, t)``   elements with batch ``(K, T)`` at ``t`` ``(K, T)``
``curve_loss(xi, weights, split, t, names)``   losses ``(K, T)`` of ``exp(t ξ)·w``, one tensor per name, without making
                 these points (optional: where a kernel can)
``velocity(xi, t)``   ``ω`` and ``ω'`` at ``t`` ``(K, T)``, in the Lie algebra, with ``γ' = ω·γ`` along the curve
``tangent(omega, weights)``   ``ω·w``; with ``basis(weights)`` of the algebra and ``flow(omega)``, elements ``exp(ω)``
``align(a, b)``  an element that brings ``b`` near ``a`` (optional: for those that alignments and detection use)
``balance(weights)``  for groups with a preferred point on each orbit: the element that leads there (optional)
"""
