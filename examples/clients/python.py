"""Says hello to a room and prints its messages, also those that were sent while the connection was lost.

    python3 python.py ws://localhost:8000/ws/chat/lobby/
"""
import asyncio, contextlib, json, random, sys
import websockets  # pip install websockets


async def take(ws, frame, since):
    """Handles a frame from the server, and returns the position in the room after it."""
    if frame.get("event") == "open" and not since:
        await ws.send(json.dumps({"message": "hello from Python"}))
    if frame.get("resumed") is False or frame.get("event") == "gap":
        print("some messages were missed", flush=True)
    if "message" in frame:
        print(json.dumps(frame["message"]), flush=True)
    return frame.get("id") or since or "none"  # with "none" the server will say that it cannot resume


async def main(url):
    since = ""
    while True:
        try:
            # The library pings the server every 20 s, and ends a connection whose server does not answer.
            async with websockets.connect(f"{url}?v=2&since={since}", max_size=None) as ws:
                with contextlib.suppress(websockets.ConnectionClosed):
                    async for text in ws:
                        since = await take(ws, json.loads(text), since)
                if (ws.close_code or 0) >= 4500:  # another attempt would end in the same way
                    sys.exit(f"closed: {ws.close_code} {ws.close_reason}")
        except (OSError, asyncio.TimeoutError, websockets.WebSocketException) as error:
            print("cannot connect:", error, file=sys.stderr)
        await asyncio.sleep(0.5 + 4.5 * random.random())


asyncio.run(main(sys.argv[1]))
