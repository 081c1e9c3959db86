"""Load on a running Maskgate: drawn inputs for every task, arrivals that wait for nobody, and a report.

From the bottom up: `records` keeps what came of every request; `arrivals` says when they come; `drawings` draws what
they send; `asking` is one request and what its answer is worth; `singles` and `clicking` are what callers do, and
`load` is a load of them under way. `users` alone knows locust, whose import patches a process: `process` runs it as one
of its own, and `watch` reads the gateway meanwhile. `figures`, `report` and `soak` tell of it.
"""
