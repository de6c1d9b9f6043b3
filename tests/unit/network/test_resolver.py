"""The resolver on the loopback address, asked by a client that knows only RFC 1035."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lading.errors import Exhausted
from lading.network import dnsmessage as dns
from lading.network.resolver import _MAX_PENDING, Names, Resolver

V4, V6 = bytes((10, 1, 0, 2)), bytes.fromhex("fd00" + "0" * 27 + "2")


class Table(Names):
    def __init__(self, upstreams=()):
        self.names = {
            "web": [V4, V6],
            "many": [bytes((10, 1, 0, n)) for n in range(2, 100)],
            "pair": [V4, bytes((10, 1, 0, 3))],
        }
        self.up = list(upstreams)

    def lookup(self, client, name):
        return self.names.get(name) if client == "127.0.0.1" else None

    def reverse(self, client, address):
        return "web" if address in (V4, V6) else None

    def upstreams(self, client):
        return self.up


def question(name, kind=dns.A, number=7, edns=False):
    head = struct.pack(">6H", number, 0x0100, 1, 0, 0, 1 if edns else 0)
    opt = b"\0\0\x29" + struct.pack(">HIH", 1232, 0, 0) if edns else b""
    return head + dns.encode_name(name) + struct.pack(">HH", kind, 1) + opt


def records(message):
    """(code, truncated, the data of each answer record)."""
    _, flags, _, count, _, _ = struct.unpack(">6H", message[:12])
    offset = 12
    while message[offset]:
        offset += message[offset] + 1
    offset += 5
    found = []
    for _ in range(count):
        length = struct.unpack(">H", message[offset + 10 : offset + 12])[0]
        found.append(message[offset + 12 : offset + 12 + length])
        offset += 12 + length
    return flags & 15, bool(flags & 0x0200), found


def listening(names, upstream_port):
    """A resolver on a port that is free for UDP and TCP; other tests take ports meanwhile."""
    for _ in range(50):
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        resolver = Resolver(names, port, upstream_port)
        try:
            resolver.listen("127.0.0.1")
        except OSError:
            continue
        return resolver, port
    raise AssertionError("no port was free for both")


@pytest.fixture
def serve():
    """Start a resolver; the function that asks it over UDP or TCP."""
    running = []

    def start(names, upstream_port=53):
        resolver, port = listening(names, upstream_port)
        stop = threading.Event()
        thread = threading.Thread(target=resolver.run, args=(lambda: not stop.is_set(), 0.02))
        thread.start()
        running.append((resolver, stop, thread))

        def ask(message, tcp=False):
            with socket.socket(socket.AF_INET, socket.SOCK_STREAM if tcp else socket.SOCK_DGRAM) as client:
                client.settimeout(60)
                client.connect(("127.0.0.1", port))
                client.sendall(len(message).to_bytes(2, "big") + message if tcp else message)
                if not tcp:
                    return client.recv(65535)
                data = b""
                while len(data) < 2 or len(data) < 2 + int.from_bytes(data[:2], "big"):
                    data += client.recv(65535)
                return data[2:]

        return ask

    yield start
    for resolver, stop, thread in running:
        stop.set()
        thread.join()
        resolver.close()


def test_names_answer_with_the_family_that_was_asked_for(serve):
    ask = serve(Table())
    assert records(ask(question("web"))) == (0, False, [V4])
    assert records(ask(question("WEB", dns.AAAA))) == (0, False, [V6])
    assert records(ask(question("web", 15))) == (0, False, [])


def test_an_address_answers_with_its_name(serve):
    ask = serve(Table())
    assert records(ask(question("2.0.1.10.in-addr.arpa", dns.PTR)))[2] == [b"\x03web\x00"]
    nibbles = ".".join(reversed(V6.hex())) + ".ip6.arpa"
    assert records(ask(question(nibbles, dns.PTR)))[2] == [b"\x03web\x00"]


def test_a_shared_name_takes_turns(serve):
    ask = serve(Table())
    first = {records(ask(question("pair")))[2][0] for _ in range(4)}
    assert len(first) == 2


def test_turns_are_taken_by_clients_that_ask_for_both_families_too(serve):
    ask = serve(Table())
    first = []
    for _ in range(4):
        first.append(records(ask(question("pair")))[2][0])
        ask(question("pair", dns.AAAA))
        ask(question("web"))
        ask(question("web", dns.AAAA))
    assert first[:2] == first[2:]
    assert first[0] != first[1]


def test_what_does_not_fit_is_marked_and_comes_whole_over_tcp(serve):
    ask = serve(Table())
    code, truncated, found = records(ask(question("many")))
    assert (code, truncated) == (0, True)
    assert len(found) < 98
    assert len(records(ask(question("many"), tcp=True))[2]) == 98
    assert len(records(ask(question("many", edns=True)))[2]) > len(found)


def test_other_names_go_upstream_and_come_back_under_the_clients_number(serve):
    upstream = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    upstream.bind(("127.0.0.1", 0))
    seen = []

    def reply():
        message, sender = upstream.recvfrom(4096)
        seen.append(message)
        forged = b"\0\0" + message[2:]
        upstream.sendto(forged, sender)  # an answer to another question is not taken
        query = dns.parse_query(message)
        upstream.sendto(dns.answer(query, dns.NOERROR, [dns.address_record(bytes((9, 9, 9, 9)))]), sender)

    thread = threading.Thread(target=reply)
    thread.start()
    ask = serve(Table(["127.0.0.1"]), upstream.getsockname()[1])
    answer = ask(question("example.org", number=4242))
    thread.join()
    upstream.close()
    assert answer[:2] == (4242).to_bytes(2, "big")
    assert records(answer)[2] == [bytes((9, 9, 9, 9))]


def test_without_a_way_out_other_names_do_not_exist(serve):
    assert records(serve(Table())(question("example.org")))[0] == dns.NXDOMAIN


def test_an_upstream_that_refuses_ends_in_servfail(serve):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    assert records(serve(Table(["127.0.0.1"]), port)(question("example.org")))[0] == dns.SERVFAIL


@given(st.binary(max_size=600))
def test_any_bytes_are_a_query_or_malformed(message):
    try:
        query = dns.parse_query(message)
    except dns.Malformed:
        return
    assert len(query.name) < 256
    assert dns.answer(query, dns.NOERROR, limit=512)[:2] == message[:2]


def test_an_answer_is_never_answered():
    message = bytearray(question("web"))
    message[2] |= 0x80
    with pytest.raises(dns.Malformed) as error:
        dns.parse_query(bytes(message))
    assert error.value.answer == b""


def test_a_client_that_asks_much_and_reads_nothing_takes_no_names_away(serve):
    names = Table()
    ask = serve(names)
    port = ask.__closure__[0].cell_contents
    asked = question("many")
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as greedy:
        greedy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        greedy.connect(("127.0.0.1", port))
        greedy.settimeout(60)
        with contextlib.suppress(OSError):  # it is cut off in the middle
            greedy.sendall((len(asked).to_bytes(2, "big") + asked) * 100_000)
        assert records(ask(question("web")))[2] == [V4]


def test_a_failure_of_the_records_is_servfail_and_passes(serve, capsys):
    names = Table()
    ask = serve(names)
    names.lookup = lambda client, name: (_ for _ in ()).throw(Exhausted("the disk is full"))
    assert records(ask(question("web")))[0] == dns.SERVFAIL
    del names.lookup
    assert records(ask(question("web")))[2] == [V4]


def test_a_mistake_of_our_own_costs_one_answer(serve):
    names = Table()
    names.reverse = lambda client, address: "x" * 64 if address == V4 else "web"
    ask = serve(names)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.connect(("127.0.0.1", ask.__closure__[0].cell_contents))
        client.send(question("2.0.1.10.in-addr.arpa", dns.PTR))
        assert records(ask(question("3.0.1.10.in-addr.arpa", dns.PTR)))[2] == [b"\x03web\x00"]


@pytest.mark.parametrize("tcp_too", [True, False])
def test_an_answer_too_long_for_a_datagram_is_fetched_over_tcp_for_who_asked_so(serve, tcp_too):
    long = [dns.address_record(bytes((9, 9, 9, n))) for n in range(100)]
    with contextlib.ExitStack() as stack:
        for _ in range(50):
            datagrams = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            datagrams.bind(("127.0.0.1", 0))
            streams = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
            with contextlib.suppress(OSError):
                streams.bind(datagrams.getsockname())
                break
        datagrams.settimeout(60)
        streams.settimeout(60)
        if tcp_too:
            streams.listen()

        def upstream():
            message, sender = datagrams.recvfrom(4096)
            datagrams.sendto(dns.answer(dns.parse_query(message), 0, long, limit=512), sender)
            if tcp_too:
                client, _ = streams.accept()
                with client:
                    message = client.recv(4096)[2:]
                    answer = dns.answer(dns.parse_query(message), 0, long)
                    framed = len(answer).to_bytes(2, "big") + answer
                    client.sendall(framed[:700])
                    client.sendall(framed[700:])

        thread = threading.Thread(target=upstream, daemon=True)
        thread.start()
        ask = serve(Table(["127.0.0.1"]), datagrams.getsockname()[1])
        _code, cut, found = records(ask(question("example.org"), tcp=True))
        thread.join()
    assert (cut, len(found) == 100) == (not tcp_too, tcp_too)


def test_one_client_gets_a_quarter_of_the_places(serve):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        ask = serve(Table(["127.0.0.1"]), silent.getsockname()[1])
        port = ask.__closure__[0].cell_contents
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.connect(("127.0.0.1", port))
            client.settimeout(60)
            for number in range(_MAX_PENDING // 4 + 1):
                client.send(question("example.org", number=number))
            answer = client.recv(512)
        assert (int.from_bytes(answer[:2], "big"), records(answer)[0]) == (_MAX_PENDING // 4, dns.SERVFAIL)


@given(st.text(max_size=300))
def test_what_is_a_name_can_be_carried(text):
    if dns.is_name(text):
        assert len(dns.encode_name(text)) <= 255
    assert not dns.is_name("a" * 64)
    assert not dns.is_name("a..b")
