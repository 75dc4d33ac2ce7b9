#!/usr/bin/env bash
# A first benchmark from start to finish:   bash bench_cases/examples/first_steps.sh http://host:8000
# Without an address it takes the built-in simulator.
# 第一次压测的完整流程：                      bash bench_cases/examples/first_steps.sh http://host:8000
# 不给地址则使用内置模拟器。
set -eu
URL="${1:-simulator}"

echo "1. Is everything in order?  一切就绪了吗？"
pytest-vllm-bench doctor --base-url "$URL"

echo "2. What would be measured?  Nothing is sent yet.  会测什么？此时不发送任何请求。"
pytest bench_cases --vllm-url="$URL" --collect-only -q

echo "3. One scenario first.  先测一个场景。"
pytest bench_cases --vllm-url="$URL" -k "io256 and mc1-"

echo "4. All of them.  测全部场景。"
pytest bench_cases --vllm-url="$URL"

echo "5. One table of everything in the folder.  把目录里的全部结果汇总成一张表。"
pytest-vllm-bench aggregate results

echo "6. Read it.  阅读结果。"
pytest-vllm-bench report results --formats markdown html
echo "results/report.html"
