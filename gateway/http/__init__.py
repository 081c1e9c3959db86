"""The request path: uploads, what callers ask for, problem documents, middleware, health. It knows no task by name."""
