"""A client of gRPC without protobuf. ADDRESS STEP [ROOTS CHAIN KEY]: makes the calls of one step and prints what came back."""
import sys
import threading

import grpc

address, step = sys.argv[1:3]
if len(sys.argv) > 3:
    roots, chain, key = (open(path, "rb").read() for path in sys.argv[3:6])
    channel = grpc.secure_channel(address, grpc.ssl_channel_credentials(roots, key, chain))
else:
    # Its own retries would hide ours.
    channel = grpc.insecure_channel(address, options=(("grpc.enable_retries", 0),))


def method(kind, name):
    return getattr(channel, kind)(f"/test.Echo/{name}")


def failure(call):
    try:
        call()
    except grpc.RpcError as error:
        return f"{error.code().name} {error.details()}"
    return "no failure"


def unary():
    ask = (("x-ask", "yes"), ("x-ask-bin", b"\x01\x02"))
    answer, call = method("unary_unary", "Unary").with_call(b"abc", metadata=ask, timeout=10)
    initial, trailing = dict(call.initial_metadata()), dict(call.trailing_metadata())
    print(answer.decode(), initial["x-initial"], initial["x-raw-bin"], trailing["x-trailing"], trailing["x-back-bin"])


def big():
    body = bytes(range(256)) * 8192
    print(method("unary_unary", "Unary")(body, timeout=15) == body[::-1])


def refuse():
    print(failure(lambda: method("unary_unary", "Refuse")(b"why", timeout=10)))
    print(failure(lambda: method("unary_unary", "Missing")(b"", timeout=10)))


def flaky():
    print(method("unary_unary", "Flaky")(b"a 3", timeout=10).decode())


def plain_flaky():
    print(failure(lambda: method("unary_unary", "Flaky")(b"b 2", timeout=10)))


def down():
    print(failure(lambda: method("unary_unary", "Unary")(b"", timeout=10)))


def deadline():
    print(failure(lambda: method("unary_unary", "Slow")(b"", timeout=0.5)))


def cancel():
    call = method("unary_stream", "Wait")(b"", timeout=20)
    print(next(call).decode())
    call.cancel()
    print(call.code().name)


def streams():
    print([message.decode() for message in method("unary_stream", "Count")(b"5", timeout=10)])
    print(method("stream_unary", "Total")(iter([b"1", b"20", b"300"]), timeout=10).decode())


def chat():
    """Each word is sent only when the answer to the one before it has come: both directions are open."""
    answered, words = threading.Semaphore(1), ["one", "two", "three"]

    def ask():
        for word in words:
            answered.acquire(timeout=10)
            yield word.encode()

    call = method("stream_stream", "Chat")(ask(), timeout=10)
    for message in call:
        print(message.decode())
        answered.release()
    print(call.code().name, dict(call.trailing_metadata())["x-ended"])


def many():
    calls = [method("unary_unary", "Unary").future(str(n).zfill(4).encode(), timeout=15) for n in range(300)]
    print(sum(call.result().decode() == str(n).zfill(4)[::-1] for n, call in enumerate(calls)))


globals()[step]()
