"""The data plane: the bytes of frozen weights, addressed by what they are. See docs/data_plane.md.

codec         weights <-> bytes
store         what a store promises
disk          a store in a folder
object_store  a store in S3 and its like
outbox        what is published while the store is away
provenance    where a snapshot comes from
garbage       what nobody refers to
lru, cache    what is held, and one fetch for all who ask
reader        an env runner's way to the bytes
prefetch      what is played next, fetched early
rack_caches   the caches of a Ray cluster
traffic       what moved
memory        what a process has for itself
"""
