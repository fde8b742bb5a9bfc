"""A WebSocket server that sends back what it gets. Says `ready PORT`, and how each connection ended."""
import asyncio

import websockets


async def talk(socket):
    try:
        async for message in socket:
            await socket.send(message)
    finally:
        await socket.wait_closed()
        print(f"closed {socket.close_code} {socket.close_reason}", flush=True)


async def main():
    async with websockets.serve(talk, "127.0.0.1", 0, subprotocols=["chat"], max_size=None) as server:
        print(f"ready {server.sockets[0].getsockname()[1]}", flush=True)
        await asyncio.Future()


asyncio.run(main())
