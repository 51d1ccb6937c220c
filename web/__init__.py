"""One blueprint per noun. A view validates, calls one service, commits, flashes and redirects."""
