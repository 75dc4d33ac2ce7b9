"""What the client itself costs, and how far its figures are from the truth: ``python -m benchmarks``.

Not part of the package that users install.  ``truth`` runs a server that logs what happened; ``clients`` are held
against it, in turn; ``table`` and ``chart`` show it; ``stages`` and ``kernel`` look inside our own.
"""
