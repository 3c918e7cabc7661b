"""boot: how a database process starts. Init container of PD, TiKV and TiDB."""
