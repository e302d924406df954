"""The data plane: the bytes of frozen weights, addressed by what they are.

codec   weights <-> bytes
store   what a store promises
disk    a store in a folder
"""
