"""What is counted.

counters     requests, errors, times and tokens, for Prometheus
upstream     what the servers tell of themselves, with a short history, for the page
"""
