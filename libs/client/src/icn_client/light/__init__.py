"""The light client: what a proof shows to who believes a genesis file or a checkpoint.

Pure: no network, no files, no clock. It needs no service.
"""
