"""Processes that work for another."""

import multiprocessing
import os
import threading


def end_with_parent() -> None:
    """Without this, workers of a killed process wait for ever, or write into the directory of its successor."""

    def wait():
        multiprocessing.parent_process().join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()
