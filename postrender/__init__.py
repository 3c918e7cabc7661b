"""The post-renderer: checks and mends a rendered release, on a user's machine, in CI or in Argo CD."""
