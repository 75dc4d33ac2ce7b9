"""Texts of the area "measure": key → (English, Chinese)."""

TEXTS = {
    "measure.other_plans": (
        "only measurements of one plan can be merged; these are of several: {plans}",
        "只能合并同一请求计划的测量；这些测量来自多个计划：{plans}",
    ),
}
