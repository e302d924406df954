"""The data plane: stores, caches and transfers of frozen weights, addressed by digest. See docs/data_plane.md.

codec         weights <-> bytes
store         the interface and the guarantees of a store
disk          a store in a folder
object_store  a store in S3 and compatible services
outbox        a queue of publishes while the store is unavailable
provenance    the origin of a snapshot, as a note
garbage       unreferenced snapshots
lru, cache    LRU eviction; a thread-safe cache that merges concurrent fetches
reader        an env runner's access to snapshots
prefetch      fetching the next opponents early
rack_caches   the caches of a Ray cluster
traffic       counters of transfers
memory        private memory of a process
"""
