"""Signatures of images: kept in the store, at registries, made with keys and checked against keys or a policy.

Only commands that sign or verify load this, and those that meet a policy file.
"""
