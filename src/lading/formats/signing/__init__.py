"""Signatures of OCI images, as cosign and containers/image write them: keys, payloads, where they are kept, policies. No I/O.

``keys`` alone needs the package ``cryptography``; whoever imports it has something to sign or to verify.
"""
