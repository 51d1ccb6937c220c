"""The command line: one click group per noun, the same services as the web pages."""
