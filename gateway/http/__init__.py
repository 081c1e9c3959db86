"""The request path: uploads, parameters, problems, middleware, the service's own routes. It knows no task by name."""
