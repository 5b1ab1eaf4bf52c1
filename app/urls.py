"""Every address of the site and of the API. Nothing else builds one.

All are paths from the site's root, without a host, percent-encoded. Query values that are None
are left out, so that an address says only what differs from the default.
"""

from urllib.parse import quote, urlencode

API = "/api/v1"
OPENAPI = "/api/openapi.json"
API_DOCS = "/api/docs"
STATIC = "/static"
HEALTHZ = "/healthz"
READYZ = "/readyz"
METRICS = "/metrics"

QueryValue = str | int | float | bool | None


def _path(*parts: str | int) -> str:
    return "/" + "/".join(quote(str(part), safe="") for part in parts)


def _with_query(path: str, query: dict[str, QueryValue]) -> str:
    given = {name: _plain(value) for name, value in query.items() if value is not None}
    return f"{path}?{urlencode(given, quote_via=quote)}" if given else path


def _plain(value: QueryValue) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


# Pages


def home() -> str:
    return "/"


def model(model: str, *, corpus: str | None = None) -> str:
    return _with_query(_path(model), {"corpus": corpus})


def source(model: str, source: str, **query: QueryValue) -> str:
    """A source's units; `query` is the listing's state (corpus, sort, order, alive, cursor…)."""
    return _with_query(_path(model, source), query)


def unit(
    model: str,
    source: str,
    index: int,
    *,
    corpus: str | None = None,
    kind: str | None = None,
    embed: bool = False,
    whole: bool = False,
    numbers: bool = False,
) -> str:
    """A unit's permalink; `kind` of examples, `whole` windows, `numbers` under the tokens."""
    query: dict[str, QueryValue] = {
        "corpus": corpus,
        "kind": kind,
        "whole": 1 if whole else None,
        "numbers": 1 if numbers else None,
        "embed": 1 if embed else None,
    }
    return _with_query(_path(model, source, index), query)


def similar(model: str, source: str, index: int, *, corpus: str | None = None) -> str:
    """The units most like one."""
    return _with_query(_path(model, source, index, "similar"), {"corpus": corpus})


def evidence(
    model: str,
    source: str,
    index: int,
    *,
    rule: str | None = None,
    corpus: str | None = None,
    threshold: str | None = None,
) -> str:
    """How well a rule, in one line, describes a unit."""
    query: dict[str, QueryValue] = {"rule": rule, "corpus": corpus, "threshold": threshold}
    return _with_query(_path(model, source, index, "test"), query)


def loss(model: str, source: str, index: int, **query: QueryValue) -> str:
    """The part of the evidence that is measured (rule, corpus, threshold); bare, where the form
    goes."""
    return _with_query(_path(model, source, index, "loss"), query)


def unit_hypotheses(model: str, source: str, index: int, hypothesis: int | None = None) -> str:
    """Where a unit's page shows its hypotheses, or one of them."""
    where = "hypotheses" if hypothesis is None else f"hypothesis-{hypothesis}"
    return f"{unit(model, source, index)}#{where}"


def save_hypothesis(model: str, source: str, index: int) -> str:
    """Where the form is sent to."""
    return _path(model, source, index, "hypotheses")


def delete_hypothesis(hypothesis: int) -> str:
    """Where the form is sent to."""
    return _path("hypotheses", hypothesis, "delete")


def unit_explanations(model: str, source: str, index: int) -> str:
    """Where a unit's page shows what people say of it."""
    return f"{unit(model, source, index)}#explanations"


def write_explanation(model: str, source: str, index: int) -> str:
    """Where the form is sent to."""
    return _path(model, source, index, "explanations")


def delete_explanation(explanation: int) -> str:
    """Where the form is sent to."""
    return _path("explanations", explanation, "delete")


def random_unit(model: str, source: str) -> str:
    return _path(model, source, "random")


def corpus(corpus: str) -> str:
    return _path("corpora", corpus)


def search(**query: QueryValue) -> str:
    """The search page with its state (q, token, logit, model…)."""
    return _with_query("/search", query)


def search_chance(**query: QueryValue) -> str:
    """What the best unit reaches by chance, for the search of the same state."""
    return _with_query("/search/chance", query)


def jobs(*, cursor: str | None = None) -> str:
    return _with_query("/jobs", {"cursor": cursor})


def job(job_id: int) -> str:
    return _path("jobs", job_id)


def cancel_job(job_id: int) -> str:
    return _path("jobs", job_id, "cancel")


def retry_job(job_id: int) -> str:
    return _path("jobs", job_id, "retry")


def notes(model: str, *, kind: str | None = None, cursor: str | None = None) -> str:
    """What people wrote of a model's units: `explanations` or `hypotheses`."""
    return _with_query("/notes", {"model": model, "kind": kind, "cursor": cursor})


def sign_in() -> str:
    return "/sign-in"


def sign_out() -> str:
    return "/sign-out"


def static(path: str) -> str:
    """A file under static/, such as `css/site.css`; slashes stay."""
    return f"{STATIC}/{quote(path)}"


# REST


def api_models() -> str:
    return f"{API}/models"


def api_model(model: str) -> str:
    return api_models() + _path(model)


def api_sources(model: str) -> str:
    return f"{api_model(model)}/sources"


def api_source(model: str, source: str) -> str:
    return api_sources(model) + _path(source)


def api_units(model: str, source: str, **query: QueryValue) -> str:
    return _with_query(f"{api_source(model, source)}/units", query)


def api_unit(model: str, source: str, index: int) -> str:
    return f"{api_source(model, source)}/units" + _path(index)


def api_examples(
    model: str, source: str, index: int, *, kind: str | None = None, corpus: str | None = None
) -> str:
    path = f"{api_unit(model, source, index)}/examples"
    return _with_query(path, {"kind": kind, "corpus": corpus})


def api_unit_tokens(model: str, source: str, index: int, *, corpus: str | None = None) -> str:
    return _with_query(f"{api_unit(model, source, index)}/tokens", {"corpus": corpus})


def api_similar(
    model: str, source: str, index: int, *, by: str | None = None, corpus: str | None = None
) -> str:
    path = f"{api_unit(model, source, index)}/similar"
    return _with_query(path, {"by": by, "corpus": corpus})


def api_evidence(model: str, source: str, index: int, **query: QueryValue) -> str:
    return _with_query(f"{api_unit(model, source, index)}/test", query)


def api_loss(model: str, source: str, index: int, **query: QueryValue) -> str:
    """Recovered loss: asked for, and, with rule and corpus, found again."""
    return _with_query(f"{api_unit(model, source, index)}/loss", query)


def api_unit_hypotheses(model: str, source: str, index: int) -> str:
    return f"{api_unit(model, source, index)}/hypotheses"


def api_hypotheses(model: str, **query: QueryValue) -> str:
    return _with_query(f"{api_model(model)}/hypotheses", query)


def api_hypothesis(hypothesis: int) -> str:
    return f"{API}/hypotheses" + _path(hypothesis)


def api_unit_explanations(model: str, source: str, index: int) -> str:
    return f"{api_unit(model, source, index)}/explanations"


def api_explanations(model: str, **query: QueryValue) -> str:
    return _with_query(f"{api_model(model)}/explanations", query)


def api_explanation(explanation: int) -> str:
    return f"{API}/explanations" + _path(explanation)


def api_rule_search(model: str, **query: QueryValue) -> str:
    return _with_query(f"{api_model(model)}/search/rule", query)


def api_search(model: str, **query: QueryValue) -> str:
    return _with_query(f"{api_model(model)}/search", query)


def api_corpora() -> str:
    return f"{API}/corpora"


def api_corpus(corpus: str) -> str:
    return api_corpora() + _path(corpus)


def api_windows(corpus: str, **query: QueryValue) -> str:
    return _with_query(f"{api_corpus(corpus)}/windows", query)


def api_jobs(**query: QueryValue) -> str:
    return _with_query(f"{API}/jobs", query)


def api_job(job_id: int) -> str:
    return api_jobs() + _path(job_id)
