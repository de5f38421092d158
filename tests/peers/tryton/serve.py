"""Runs a program of Tryton, until standard input ends if PEER_UNTIL_EOF is 1: so it ends with whoever holds that.

usage: serve.py PROGRAM ARGUMENT...
"""
import os
import runpy
import sys
import threading


def end_with_input():
    while os.read(0, 4096):
        pass
    # Nothing is kept that would have to be finished.
    os._exit(0)


if os.environ.get('PEER_UNTIL_EOF') == '1':
    threading.Thread(target=end_with_input, daemon=True).start()
del sys.argv[0]
runpy.run_path(sys.argv[0], run_name='__main__')
