"""What pages show, as values: made from what REST answered and the time. Pure.

reasons      the words of conditions and errors
"""
