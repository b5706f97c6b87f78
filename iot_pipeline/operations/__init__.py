"""Running the product: processes, health, housekeeping. Understands no reading.

Light on purpose: small programs in here start thousands of times.
"""
