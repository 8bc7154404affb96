"""Several servers as one, by environment variables: one that is down is passed over."""

from vllm_connect import VLLM, Key

client = VLLM(
    keys=[
        Key(name="down", url="http://127.0.0.1:9"),
        Key(name="up", url="env.VLLM_BASE_URL"),
    ],
    balance="least_busy",
)
for number in range(3):
    answer = client.chat.completions.create(messages=[{"role": "user", "content": f"Say: {number}"}])
    print(answer.choices[0].message.content)
for server in client.servers():
    print(server.key_name, server.state)
