"""Replace a TiKV store or PD member whose local disk is gone, in place and without changing replicas. Begin
with plan.py.
"""
