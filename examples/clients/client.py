import asyncio, json, websockets  # pip install websockets

async def beat(ws):
    while True:
        await ws.send('"heartbeat"')
        await asyncio.sleep(10)

async def main():
    async with websockets.connect("ws://localhost:8000/ws/chat/lobby/") as ws:
        asyncio.create_task(beat(ws))
        await ws.send(json.dumps({"message": "hello from Python"}))
        async for frame in ws:
            print(json.loads(frame)["message"], flush=True)

asyncio.run(main())
