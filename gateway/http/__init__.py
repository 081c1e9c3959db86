"""The request path: uploads, negotiation, problem documents, middleware, health. It knows no task by name."""
