import asyncio, sys, aiohttp

async def main():
    # Without trust_env=True aiohttp reads no proxy variable.
    async with aiohttp.ClientSession(trust_env=True) as session:
        async with session.get(sys.argv[1]) as response:
            response.raise_for_status()

asyncio.run(main())
