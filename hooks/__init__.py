"""Everything that runs inside the cluster: one package per job (design.md, the house)."""
