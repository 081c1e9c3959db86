"""Load on a running Maskgate: drawn inputs for every task, arrivals that wait for nobody, and a report.

From the bottom up: `histogram`, `ledger` and `trend` count; `arrivals` says when requests come; `drawings` and `chest`
draw what they send; `asking` is one request and what its answer is worth; `singles`, `clicking` and `tensors` are what
callers do. `users` alone knows locust, whose import patches a process: `process` runs it as one of its own. `watch`
reads the gateway meanwhile, and `figures`, `charts` and `report` tell of it.
"""
