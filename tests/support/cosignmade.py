"""Keys and signatures that cosign 3.1 made for these tests; the password of the private keys is ``pw``."""

from __future__ import annotations

KEY = """\
-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----
eyJrZGYiOnsibmFtZSI6InNjcnlwdCIsInBhcmFtcyI6eyJOIjo2NTUzNiwiciI6
OCwicCI6MX0sInNhbHQiOiJxYmk1eHJZb2JFc3NKSnQ2NkxvRHRQRHdvQmxhRkpt
WmVvYjZDNVIycXUwPSJ9LCJjaXBoZXIiOnsibmFtZSI6Im5hY2wvc2VjcmV0Ym94
Iiwibm9uY2UiOiJqVUFQSmphRDBBbXhvNnovbElCY3N6SW4yQ3JTbGF3cSJ9LCJj
aXBoZXJ0ZXh0IjoiMytTL0lQMCtsQmFHU1VVTWF1QVN3b2phUzUzclNDSkd3aDR5
bGY0WjJXL2lOc3RQd0FKS2lnNXBYU1BEc0FwSVJBem9JVDI3ZHU1QkNNbVF5VGpv
WSs0NjJGRkhtaExHcyt0eThaL0ppcFNhSUpqK0RqRDQzOTZTRWxCRXlYK3FGTExq
TXBNdHpuZ1ROWHdLays2VWt6TURIVmhPZHpoU0JWK3dyWEptU09XcTNGbUo1SzNx
ZUxFcUk0eXJ3MVR2QmhKbVdGSlorRTNUZEE9PSJ9
-----END ENCRYPTED SIGSTORE PRIVATE KEY-----
"""

PUBLIC = """\
-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEQfUyORIIb5ruSTdUEci6qnLuYwqK
Dcag34Ee1ZZ3tRRqWp4eJD6xb+9ZBAGiyn4MpEpbHukANBJm9OjwKJ0yfQ==
-----END PUBLIC KEY-----
"""

PAYLOAD = (
    '{"critical":{"identity":{"docker-reference":"localhost:5999/c1"},"image":{"docker-manifest'
    '-digest":"sha256:cf3af7d2ffb01fe6817bb679a8299cb4b5dd39546e3a0c748a3a23688162b009"},"type"'
    ':"cosign container image signature"},"optional":{"who":"cosign"}}'
)

SIGNATURE = "MEUCICSRphTzlf41/0grCuDyVzYb6VB/PmX9JxH1xN9GWLEjAiEA0QDZnP+UKrq89kelEQbrfOVEMDL4bZ/UyjpxJY1TxKU="

DIGEST = "sha256:cf3af7d2ffb01fe6817bb679a8299cb4b5dd39546e3a0c748a3a23688162b009"

ED25519_PUBLIC = """\
-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEACip02foXcrUx8zGLiRXvFfAWWlEu7XmcnPRX9U+c5aY=
-----END PUBLIC KEY-----
"""

ED25519_PAYLOAD = (
    '{"critical":{"identity":{"docker-reference":"localhost:5999/k1ed"},"image":{"docker-manife'
    'st-digest":"sha256:cf3af7d2ffb01fe6817bb679a8299cb4b5dd39546e3a0c748a3a23688162b009"},"typ'
    'e":"cosign container image signature"},"optional":null}'
)

ED25519PH_SIGNATURE = (
    "wuPm/wqPLaQoJ0tAQDsiWBmcC2bdiK8xObSONeC8ejy/AKc/5pm40FWAJmxjUDNsPHmaa1iqquY7g8SP+llaBA=="
)

BUNDLE = (
    '{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json","verificationMaterial":{"publ'
    'icKey":{"hint":"HZkqcpwWn6+gCbJqrrz5aS0tfiAxABY/M5JEEcbOwY8="}},"dsseEnvelope":{"payload":'
    '"eyJfdHlwZSI6Imh0dHBzOi8vaW4tdG90by5pby9TdGF0ZW1lbnQvdjEiLCJzdWJqZWN0IjpbeyJkaWdlc3QiOnsic'
    "2hhMjU2IjoiY2YzYWY3ZDJmZmIwMWZlNjgxN2JiNjc5YTgyOTljYjRiNWRkMzk1NDZlM2EwYzc0OGEzYTIzNjg4MTY"
    "yYjAwOSJ9LCJhbm5vdGF0aW9ucyI6eyJ3aG8iOiJjb3NpZ24ifX1dLCJwcmVkaWNhdGVUeXBlIjoiaHR0cHM6Ly9za"
    'WdzdG9yZS5kZXYvY29zaWduL3NpZ24vdjEiLCJwcmVkaWNhdGUiOnt9fQ==","payloadType":"application/vn'
    'd.in-toto+json","signatures":[{"sig":"MEQCIBIcogbplGL9cepGGT2iS0FB86bd+Q9M1k0DUk59nkFHAiAO'
    'VfGgzkAjfuZT37CnJbE0KIMW0IyBBwVvkWjS3gqEQQ=="}]}}'
)

P384_PUBLIC = """\
-----BEGIN PUBLIC KEY-----
MHYwEAYHKoZIzj0CAQYFK4EEACIDYgAEiXAo+LDNmVWdDqvJtqV/Kyd3PPCJ5wTo
0isajxhALfd7wSqD1YsywTgKBkpvHdisNikBn9klN8KoVb48T+s/TSVDpub1avn9
O7kSiWGsp8DLYdFys3inxc3b20lI9Wht
-----END PUBLIC KEY-----
"""

P384_PAYLOAD = (
    '{"critical":{"identity":{"docker-reference":"localhost:5999/k1ec"},"image":{"docker-manife'
    'st-digest":"sha256:cf3af7d2ffb01fe6817bb679a8299cb4b5dd39546e3a0c748a3a23688162b009"},"typ'
    'e":"cosign container image signature"},"optional":null}'
)

P384_SIGNATURE = (
    "MGQCMFD0cg1Lh+jbx3a3TGWLJfZBpnXOfHEhfIiZVRFcztFy2BbYt2KL0SlFkIsf3mehBwIwB47oQuE90YoonGoa+9"
    "s/zTnag5tUWSxnDJxp50sUc/l+SKedeM+kDdWfHY8pXwYR"
)
