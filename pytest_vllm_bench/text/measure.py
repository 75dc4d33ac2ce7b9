"""Texts of the area "measure": key → (English, Chinese)."""

TEXTS = {
    # what a request that failed is told of, where no server said anything
    "measure.detail.cut": ("closed in the middle of the answer", "回答中途连接被关闭"),
    "measure.detail.unanswered": ("closed without an answer", "未返回任何内容，连接即被关闭"),
    "measure.other_plans": (
        "only measurements of one plan can be merged; these are of several: {plans}",
        "只能合并同一请求计划的测量；这些测量来自多个计划：{plans}",
    ),
}
