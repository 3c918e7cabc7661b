"""scale: says, before anything is changed, what a change of replicas would take away."""
