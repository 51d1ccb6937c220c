"""A local stand-in for SES, SNS, SQS and STS that any boto3 client can talk to.

An island: nothing of the product is imported here, and the product knows it only by its URL.
Nothing leaves the machine: mails stay in an outbox, events go to in-memory queues and to
webhooks on loopback. `python -m ses_simulator` runs it, `ses_simulator.server.start()` runs it
inside a test. `outcomes.py` says what happens to a mail, `faults.py` what can go wrong,
`control.py` what can be looked at and switched under `/_sim/`.
"""
