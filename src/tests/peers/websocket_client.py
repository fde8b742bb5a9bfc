"""A WebSocket client. URL [ROOTS CHAIN KEY]: words, bytes, a big message, a ping, and a close with a reason."""
import asyncio
import ssl
import sys

import websockets

url, files = sys.argv[1], sys.argv[2:]
context = None
if files:
    context = ssl.create_default_context(cafile=files[0])
    context.load_cert_chain(files[1], files[2])


async def main():
    async with websockets.connect(url, subprotocols=["chat"], ssl=context, max_size=None) as socket:
        big = bytes(range(256)) * 4096
        for message in ["größer", b"\x00\xff", big]:
            await socket.send(message)
            assert await socket.recv() == message
        await (await socket.ping())
        print(socket.subprotocol, socket.extensions[0].name if socket.extensions else "plain")
        await socket.close(4000, "enough")
        print(socket.close_code, socket.close_reason)


asyncio.run(asyncio.wait_for(main(), 15))
