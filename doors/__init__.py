"""The two doors through which SES events come in, and what both share; used by sns_handler.py."""
