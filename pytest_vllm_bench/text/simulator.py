"""Texts of the area "simulator": key → (English, Chinese)."""

TEXTS: dict[str, tuple[str, str]] = {
    "simulator.unknown_fault": (
        "There is no simulated fault {name!r}; known are: {known}.",
        "没有名为 {name!r} 的模拟故障；可用的有：{known}。",
    ),
    "simulator.unknown_key": (
        "The simulated fault {name!r} has no key {option!r}; it has: {known}.",
        "模拟故障 {name!r} 没有参数 {option!r}；可用的有：{known}。",
    ),
    "simulator.not_a_number": (
        "{option}={value} of the simulated fault {name!r} is not a number.",
        "模拟故障 {name!r} 的 {option}={value} 不是数字。",
    ),
    "simulator.script": (
        "The fault script {file} cannot be used: {error}. It is a JSON list of rules such as "
        '{{"fault": "stall at=5", "requests": [0]}}.',
        '故障脚本 {file} 无法使用：{error}。它应是规则的 JSON 列表，如 {{"fault": "stall at=5", "requests": [0]}}。',
    ),
    "simulator.rule": (
        'Rule {position} of the fault script {file} is not an object with "fault" and these keys only: {known}.',
        '故障脚本 {file} 的第 {position} 条规则应是含 "fault" 的对象，且只能有这些键：{known}。',
    ),
    "simulator.not_started": (
        "The built-in simulator did not start: {detail}",
        "内置模拟服务器未能启动：{detail}",
    ),
    "simulator.dialect": (
        "The simulator speaks no dialect {name!r}; it speaks: {known}.",
        "模拟服务器不支持方言 {name!r}；支持的有：{known}。",
    ),
}
