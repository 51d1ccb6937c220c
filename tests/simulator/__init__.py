"""The SES simulator, driven by real boto3 over HTTP."""
