"""check: `helm test`. Does the database answer, and is every store Up?"""
