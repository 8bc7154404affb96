"""The numbers that are counted.

counters     requests, errors, times and tokens, for Prometheus
troubles     the errors of the last hour, and what to do
upstream     what the servers tell of themselves, with a short history, for the page
"""
