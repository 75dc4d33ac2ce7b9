"""What is shown of a history → Grafana's dashboards in ``ci/grafana/``: ``python docs/grafana.py``.

The queries are one text for both databases; only times, JSON and the range of time are spelt in each one's way.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pytest_vllm_bench.store.history import TABLE

FOLDER = Path(__file__).parent / "ci" / "grafana"
PLUGINS = {"postgresql": "grafana-postgresql-datasource", "sqlite": "frser-sqlite-datasource"}
#: How each database spells a row's time, whether it is in the range that is shown, and a part of its environment.
SPELT = {
    "postgresql": {
        "time": "date::timestamptz",
        "within": "$__timeFilter(date::timestamptz)",
        "server": "environment::json ->> 'server'",
    },
    "sqlite": {
        "time": "CAST(strftime('%s', date) AS INTEGER)",
        "within": "CAST(strftime('%s', date) AS INTEGER) BETWEEN $__from / 1000 AND $__to / 1000",
        "server": "json_extract(environment, '$.server')",
    },
}
#: What is the same for both; a row that a table brought does not say which machine measured it.
COMMON = {
    "table": TABLE,
    "machine": "CASE origin WHEN '' THEN '?' ELSE origin END",
    "shown": "metric IN ('output_throughput', 'mean_ttft_ms', 'mean_tpot_ms', 'mean_e2el_ms')",
    "chosen": "scenario IN (${scenario:sqlstring}) AND <<machine>> IN (${machine:sqlstring}) AND <<within>>",
}
VARIABLES = {
    "metric": "SELECT DISTINCT metric FROM <<table>> ORDER BY 1",
    "scenario": "SELECT DISTINCT scenario FROM <<table>> ORDER BY 1",
    "machine": "SELECT DISTINCT <<machine>> FROM <<table>> ORDER BY 1",
}
FIGURE = """
SELECT <<time>> AS time, scenario AS metric, value
FROM <<table>>
WHERE metric IN (${metric:sqlstring}) AND <<chosen>>
ORDER BY 1"""
TOGETHER = """
SELECT time, metric, avg(value / mean) AS value
FROM (
  SELECT <<time>> AS time, session, origin, metric, value,
    avg(value) OVER (PARTITION BY scenario, metric, plan, origin) AS mean
  FROM <<table>>
  WHERE <<shown>> AND <<chosen>>
) AS shares
GROUP BY time, session, origin, metric
ORDER BY 1"""
NEWEST = """
WITH numbered AS (
  SELECT scenario, metric, plan, origin, value,
    row_number() OVER (PARTITION BY scenario, metric, origin ORDER BY date DESC, session DESC) AS n
  FROM <<table>>
  WHERE <<shown>> AND <<chosen>>
), earlier AS (
  SELECT scenario, metric, plan, origin, avg(value) AS mean, count(*) AS sessions
  FROM numbered WHERE n BETWEEN 2 AND 11 GROUP BY scenario, metric, plan, origin
)
SELECT new.scenario AS "<<col.scenario>>", new.metric AS "<<col.metric>>",
  CASE new.origin WHEN '' THEN '?' ELSE new.origin END AS "<<col.machine>>", mean AS "<<col.before>>",
  value AS "<<col.newest>>", value / mean - 1 AS "<<col.change>>", sessions AS "<<col.sessions>>"
FROM numbered AS new
JOIN earlier ON new.scenario = earlier.scenario AND new.metric = earlier.metric AND new.plan = earlier.plan
  AND new.origin = earlier.origin
WHERE n = 1
ORDER BY abs(value / mean - 1) DESC"""
SESSIONS = """
SELECT <<time>> AS time, session AS "<<col.session>>", <<machine>> AS "<<col.machine>>",
  max("commit") AS "<<col.commit>>", max(<<server>>) AS "<<col.server>>",
  count(DISTINCT scenario) AS "<<col.scenarios>>"
FROM <<table>>
WHERE <<chosen>>
GROUP BY date, session, origin
ORDER BY 1 DESC"""
CHANGES = """
WITH told AS (
  SELECT <<time>> AS time, origin, max(<<server>>) AS server
  FROM <<table>> WHERE <<chosen>> GROUP BY date, origin
), pairs AS (
  SELECT time, server, lag(server) OVER (PARTITION BY origin ORDER BY time) AS earlier
  FROM told WHERE server IS NOT NULL
)
SELECT time, earlier || ' → ' || server AS text FROM pairs WHERE earlier <> server ORDER BY 1"""
WORDS = {
    "title": ("LLM serving over many nights", "大模型推理服务：历史趋势"),
    "datasource": ("data source", "数据源"),
    "metric": ("metric", "指标"),
    "scenario": ("scenario", "场景"),
    "machine": ("machine", "机器"),
    "figure": ("$metric of each scenario", "各场景的 $metric"),
    "together": ("All scenarios together (100% = mean of the time range)", "全部场景合计（100% 为所选时间范围的均值）"),
    "compared": ("The newest session against up to ten before it", "最近一次会话与此前至多十次会话对比"),
    "sessions": ("Sessions", "会话"),
    "changes": ("another server", "服务端变更"),
    "col.scenario": ("scenario", "场景"),
    "col.metric": ("metric", "指标"),
    "col.before": ("before", "之前"),
    "col.newest": ("newest", "最新"),
    "col.change": ("change", "变化"),
    "col.sessions": ("sessions", "会话数"),
    "col.session": ("session", "会话"),
    "col.machine": ("machine", "机器"),
    "col.commit": ("commit", "提交"),
    "col.server": ("server", "服务端"),
    "col.scenarios": ("scenarios", "场景数"),
}


def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    for database in PLUGINS:
        for lang in ("en", "zh"):
            (FOLDER / f"{database}.{lang}.json").write_text(text(database, lang), encoding="utf-8")


def text(database: str, lang: str) -> str:
    return json.dumps(dashboard(database, lang), ensure_ascii=False, indent=1) + "\n"


def dashboard(database: str, lang: str) -> dict[str, Any]:
    say = {name: pair[lang == "zh"] for name, pair in WORDS.items()}
    return {
        "uid": f"pytest-vllm-bench-{database}-{lang}",
        "title": say["title"],
        "tags": ["llm", "pytest-vllm-bench"],
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "time": {"from": "now-90d", "to": "now"},
        "templating": {
            "list": [
                {"name": "datasource", "label": say["datasource"], "type": "datasource", "query": PLUGINS[database]},
                *(variable(name, database, say) for name in VARIABLES),
            ]
        },
        # The SQLite plugin has none.
        "annotations": {"list": [noted(database, say)] if database == "postgresql" else []},
        "panels": [{"id": number, **one} for number, one in enumerate(panels(database, say), 1)],
    }


def panels(database: str, say: dict[str, str]) -> Iterator[dict[str, Any]]:
    yield lines("figure", FIGURE, "short", (0, 0, 24, 9), database, say)
    yield lines("together", TOGETHER, "percentunit", (0, 9, 12, 9), database, say)
    yield table("compared", NEWEST, (12, 9, 12, 9), database, say)
    yield table("sessions", SESSIONS, (0, 18, 24, 9), database, say)


def noted(database: str, say: dict[str, str]) -> dict[str, Any]:
    return {
        "name": say["changes"],
        "datasource": source(database),
        "enable": True,
        "iconColor": "purple",
        "target": target(CHANGES, database, say),
    }


def source(database: str) -> dict[str, str]:
    return {"type": PLUGINS[database], "uid": "${datasource}"}


def filled(sql: str, database: str, say: dict[str, str]) -> str:
    known = {**say, **COMMON, **SPELT[database]}
    while "<<" in sql:
        sql = re.sub(r"<<([\w.]+)>>", lambda named: known[named[1]], sql)
    return sql.strip()


def target(sql: str, database: str, say: dict[str, str], *, series: bool = False) -> dict[str, Any]:
    text = filled(sql, database, say)
    found = {"refId": "A", "datasource": source(database)}
    if database == "sqlite":
        kind = "time series" if series else "table"
        return {**found, "queryText": text, "rawQueryText": text, "queryType": kind, "timeColumns": ["time"]}
    kind = "time_series" if series else "table"
    return {**found, "rawSql": text, "rawQuery": True, "editorMode": "code", "format": kind}


def variable(name: str, database: str, say: dict[str, str]) -> dict[str, Any]:
    """One metric, or any of the scenarios and machines."""
    sql, several = filled(VARIABLES[name], database, say), name != "metric"
    chosen: dict[str, Any] = {"text": ["All"], "value": ["$__all"]} if several else {"text": METRIC, "value": METRIC}
    return {
        "name": name,
        "label": say[name],
        "type": "query",
        "datasource": source(database),
        "definition": sql,
        "query": sql,
        "refresh": 2,
        "multi": several,
        "includeAll": several,
        "current": {"selected": True, **chosen},
    }


#: What is shown first.
METRIC = "mean_tpot_ms"
Place = tuple[int, int, int, int]


def panel(title: str, kind: str, place: Place, database: str, say: dict[str, str]) -> dict[str, Any]:
    at = dict(zip(("x", "y", "w", "h"), place, strict=True))
    return {"title": say[title], "type": kind, "datasource": source(database), "gridPos": at}


def lines(title: str, sql: str, unit: str, place: Place, database: str, say: dict[str, str]) -> dict[str, Any]:
    drawn = {"drawStyle": "line", "lineWidth": 1, "showPoints": "always", "pointSize": 5, "spanNulls": True}
    defaults: dict[str, Any] = {"unit": unit, "custom": drawn}
    if database == "sqlite":  # which calls a line after its column and its label
        defaults["displayName"] = "${__field.labels.metric}"
    return {
        **panel(title, "timeseries", place, database, say),
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}},
        "targets": [target(sql, database, say, series=True)],
    }


def table(title: str, sql: str, place: Place, database: str, say: dict[str, str]) -> dict[str, Any]:
    percent = {
        "matcher": {"id": "byName", "options": say["col.change"]},
        "properties": [{"id": "unit", "value": "percentunit"}, {"id": "decimals", "value": 1}],
    }
    return {
        **panel(title, "table", place, database, say),
        "fieldConfig": {"defaults": {}, "overrides": [percent]},
        "targets": [target(sql, database, say)],
    }


if __name__ == "__main__":
    main()
