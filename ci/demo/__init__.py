"""The main job, end to end, on one bare machine: `make demo` (KEEP=1 leaves it running).

story.py      what happens, in its order: the file to read first
release.py    the chart through the post-renderer, with values for small nodes
milestones.py what is waited for, told as it happens with its time
rows.py       a client that writes rows and counts them
tools.py      kubectl, helm and kubectl-tidb on a PATH of the demo's own
teller.py     how it is told, on the screen and in a log
"""
