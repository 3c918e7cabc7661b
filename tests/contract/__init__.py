"""Does a PD answer as PD does? Cases from captures of a real one, for any `pd-server` and `tikv-server`.

Nothing here knows the stand-in but the default commands in `programs.py`: PD_SERVER and TIKV_SERVER name other ones.
With PD_URL the suite asks a PD that runs, and only what changes nothing.
"""
