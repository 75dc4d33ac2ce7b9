"""Texts of the leaves "files" and "suggest": key → (English, Chinese)."""

TEXTS: dict[str, tuple[str, str]] = {
    "files.not_written": ("{path} cannot be written: {why}", "无法写入 {path}：{why}"),
    "files.not_read": ("cannot be read: {why}", "无法读取：{why}"),
    "files.not_json": ("cannot be read as JSON: {why}", "无法按 JSON 读取：{why}"),
    "files.deep": ("cannot be read as JSON: nested too deeply", "无法按 JSON 读取：嵌套过深"),
    "files.folder": ("is a folder, where a file belongs", "是目录，应为文件"),
    "files.no_file": ("is no file but a pipe, a socket or a device", "不是普通文件，而是管道、套接字或设备"),
    "files.damaged": ("is damaged: {why}", "已损坏：{why}"),
    "files.endless": ("is longer than the {most:,} MB that are read of a file", "超出单个文件的读取上限 {most:,} MB"),
    "suggest.near": ("did you mean {near}?", "是不是想写 {near}？"),
    "suggest.known": ("there are: {known}", "可用的有：{known}"),
}
