"""The ledger: an incremental index of all logs, and a memory that outlives them.

- ``store``: the SQLite file, its tables and its lock.
- ``codec``: events as blobs; ``cards``: rows of lists; ``upgrade``: ledgers of older versions.
- ``scan``: what is new in the logs becomes facts. Only new bytes of a log that grew are read;
  one that was truncated, replaced or rewritten is read again, and calls that are no longer in
  it are kept: they were made. Facts of deleted logs stay.
- ``sums``: the facts of a session, reconciled and priced as without a ledger, become cells
  (a quarter of an hour, a kind of request: counts, tokens, money) that reports add up.
- ``query``: lists, sessions, totals of any window.
- ``care``: forgetting, exclusion, retention.

Invariants: no message text is ever written; facts and the place up to which their source was
read are written in one transaction, so that a crash loses nothing and counts nothing twice;
what is materialised can always be made again from the facts.
"""
