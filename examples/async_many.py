"""A hundred questions at once, on one client."""

import asyncio

from vllm_connect import AsyncVLLM


async def ask(client: AsyncVLLM, number: int) -> str | None:
    answer = await client.chat.completions.create(messages=[{"role": "user", "content": f"Say: {number}"}])
    return answer.choices[0].message.content


async def main() -> None:
    async with AsyncVLLM() as client:
        print(*await asyncio.gather(*(ask(client, number) for number in range(100))))


asyncio.run(main())
