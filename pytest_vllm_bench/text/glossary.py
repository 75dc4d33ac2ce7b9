"""One thing, one word: the Chinese terms, and the words that are not used for them.

A test holds every Chinese text and page to it.
"""

GLOSSARY: dict[str, tuple[str, tuple[str, ...]]] = {
    "accuracy": ("准确度", ("准确性",)),
    "baseline, reference": ("基线", ("参照", "基准")),
    "gate": ("门禁", ("门槛",)),
    "implied": ("自动补上", ("隐含",)),
    "FAIL": ("未通过", ("不通过",)),
    "measuring process": ("测量进程", ("压测进程",)),
    "missing its limit": ("未达标", ("不达标", "超限")),
    "percentile": ("分位数", ("百分位",)),
    "server": ("服务端", ("服务器",)),
    "tape": ("记录带", ("磁带",)),
    "tokenizer": ("tokenizer", ("分词器",)),
    "tolerance": ("容差", ("容忍",)),
    "turn (of a conversation)": ("轮次", ()),
    "you": ("你", ("您",)),
    "did you mean": ("是不是想写", ("您要写的是不是", "是否想写")),
    "percent": ("%", (" %",)),
}
