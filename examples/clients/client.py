import asyncio, contextlib, json, websockets  # pip install websockets

async def beat(ws):
    with contextlib.suppress(websockets.ConnectionClosed):
        while True:
            await ws.send('"heartbeat"')
            await asyncio.sleep(10)

async def main():
    async with websockets.connect("ws://localhost:8000/ws/chat/lobby/") as ws:
        asyncio.create_task(beat(ws))
        with contextlib.suppress(websockets.ConnectionClosed):
            await ws.send(json.dumps({"message": "hello from Python"}))
            async for frame in ws:
                print(json.loads(frame)["message"], flush=True)
        print("closed:", ws.close_code, ws.close_reason)

asyncio.run(main())
