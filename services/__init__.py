"""Use cases. Every function takes a session first, may flush, and never commits."""
