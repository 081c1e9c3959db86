"""Load on a running Maskgate: drawn inputs for every task, arrivals that wait for nobody, and a report.

From the bottom up: `histogram`, `ledger` and `trend` count; `arrivals` says when requests come; `drawings` and `chest`
draw what they send; `asking` is one request and what its answer is worth; `singles`, `clicking` and `tensors` are what
callers do, and `load` is a load of them under way. `users` alone knows locust, whose import patches a process:
`process` runs it as one of its own. `watch` reads the gateway meanwhile; `figures`, `charts`, `report` and `soak` tell
of it, and `measure` does all that one after the other.
"""
