"""Every contract of the project, authored once as YAML, and the generator of what follows from it."""
