"""What makes an app a service: sockets, connections, one process or several."""
