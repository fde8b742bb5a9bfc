"""A server of gRPC without protobuf: messages are bytes. Says `ready PORT`, then what happens to it."""
import sys
import threading
from concurrent import futures

import grpc


def say(line):
    print(line, flush=True)


def metadata(context):
    return dict(context.invocation_metadata())


def unary(request, context):
    seen = metadata(context)
    context.send_initial_metadata((("x-initial", "1"), ("x-raw-bin", b"\x00\xff")))
    context.set_trailing_metadata((("x-trailing", seen.get("x-ask", "")), ("x-back-bin", seen.get("x-ask-bin", b""))))
    return request[::-1]


tries = {}


def flaky(request, context):
    """UNAVAILABLE, in headers alone, until the attempt that the message names."""
    name, good = request.decode().split()
    tries[name] = tries.get(name, 0) + 1
    say(f"try {tries[name]} {metadata(context).get('grpc-previous-rpc-attempts', '0')}")
    if tries[name] < int(good):
        context.abort(grpc.StatusCode.UNAVAILABLE, "not yet, größer")
    return str(tries[name]).encode()


def refuse(request, context):
    context.abort(grpc.StatusCode.INVALID_ARGUMENT, "no: " + request.decode())


def slow(request, context):
    ended = threading.Event()
    context.add_callback(ended.set)
    say(f"left {context.time_remaining()}")
    context.send_initial_metadata((("x-begun", "1"),))
    ended.wait(30)
    say("gone")
    return b""


def count(request, context):
    for number in range(int(request)):
        yield str(number).encode()


def wait(request, context):
    """One message, and nothing more until the call is given up."""
    ended = threading.Event()

    def over():
        say("gone")
        ended.set()

    # Said from here: grpcio does not come back to a handler whose call has ended before its next message was asked for.
    context.add_callback(over)
    yield b"begun"
    ended.wait(30)


def total(messages, context):
    return str(sum(int(message) for message in messages)).encode()


def chat(messages, context):
    for message in messages:
        yield message.upper()
    context.set_trailing_metadata((("x-ended", "1"),))


HANDLERS = {
    "Unary": grpc.unary_unary_rpc_method_handler(unary),
    "Flaky": grpc.unary_unary_rpc_method_handler(flaky),
    "Refuse": grpc.unary_unary_rpc_method_handler(refuse),
    "Slow": grpc.unary_unary_rpc_method_handler(slow),
    "Count": grpc.unary_stream_rpc_method_handler(count),
    "Wait": grpc.unary_stream_rpc_method_handler(wait),
    "Total": grpc.stream_unary_rpc_method_handler(total),
    "Chat": grpc.stream_stream_rpc_method_handler(chat),
}

server = grpc.server(futures.ThreadPoolExecutor(max_workers=16))
server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Echo", HANDLERS),))
if len(sys.argv) > 1:
    key, chain, roots = (open(path, "rb").read() for path in sys.argv[1:4])
    credentials = grpc.ssl_server_credentials(((key, chain),), roots, require_client_auth=True)
    port = server.add_secure_port("127.0.0.1:0", credentials)
else:
    port = server.add_insecure_port("127.0.0.1:0")
server.start()
say(f"ready {port}")
server.wait_for_termination()
