"""The only place that makes boto3 clients and reads what an AWS account looks like."""
