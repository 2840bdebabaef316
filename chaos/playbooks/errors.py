"""Playbook for a spike of server errors (guide 9.2): find the part that is gone, restart that."""

from __future__ import annotations

from collections.abc import Callable

from chaos.playbooks.base import Playbook, Seen, Step, restartable
from chaos.playbooks.parts import down, problem_of, serves
from harness.drivers.base import Stack

READY_S = 30.0


def restart(role: str) -> Callable[[Stack], None]:
    """Return the action that restarts a role and waits until its process is there again."""

    def act(stack: Stack) -> None:
        restartable(stack, role).restart(role)
        stack.ready(role, READY_S)

    return act


def _is_gone(stack: Stack, role: str) -> Seen:
    own = problem_of(stack, role)
    return Seen(own is not None, {"itself": own or "ok"})


def _restart_step(role: str, service: str, name: str, ask: str) -> Step:
    return Step(
        slug=f"{role}-restart",
        sentence=f"If {name} does not answer its own health check, and the gateway names it as the "
        "reason for its errors, restart it.",
        look="`docker logs rag-gateway | tail` and `curl -s http://GATEWAY:8080/readyz`: which "
        f"dependency is named? Then ask that part itself: {ask}. If it answers there, the way "
        "to it is broken and a restart won't help: look at the network between the two.",
        command=f"`docker compose restart {service}`",
        expect=f"{name[0].upper()}{name[1:]} answers its health check within seconds; the gateway "
        "finds it again by itself, at the latest 3 s later, when its circuit breaker tries.",
        way_back="Nothing to take back.",
        condition=lambda stack: down(stack, role),
        action=restart(role),
        effect=lambda stack: serves(stack, role),
        ends_cause=True,
    )


ERRORS = Playbook(
    slug="errors",
    title="Server errors: more than 5 % of requests answered 5xx",
    section="9.2",
    anchor="errors",
    starts_when="One of the alerts RAG_5xx_Ratio_High, RAG_Error_Budget_Burn_Fast, "
    "RAG_Error_Budget_Burn_Slow, RAG_Role_Down or RAG_Role_Unreachable fires.",
    alerts=(
        "RAG_5xx_Ratio_High",
        "RAG_Error_Budget_Burn_Fast",
        "RAG_Error_Budget_Burn_Slow",
        "RAG_Role_Down",
        "RAG_Role_Unreachable",
    ),
    steps=(
        Step(
            slug="gateway-restart",
            sentence="If the gateway itself does not answer /healthz, restart it.",
            look="`curl -m 2 http://GATEWAY:8080/healthz` on the gateway's own port, past nginx.",
            command="`docker compose restart rag-gateway`",
            expect="/healthz answers 200 within seconds, and so does what goes through nginx.",
            way_back="Nothing to take back.",
            condition=lambda stack: _is_gone(stack, "gateway"),
            action=restart("gateway"),
            effect=lambda stack: serves(stack, "gateway"),
            ends_cause=True,
        ),
        _restart_step(
            "metadata",
            "supabase-db",
            "the metadata store",
            "`psql \"$DATABASE_URL\" -c 'SELECT 1'`",
        ),
        Step(
            slug="auth-restart",
            sentence="If the auth service does not answer its own health check, restart it. The "
            "gateway goes on with the keys that it has, so it names nothing: what shows is that "
            "nobody can sign in, and that tokens end.",
            look="`curl -m 2 http://SUPABASE:8000/health` on its own port.",
            command="`docker compose restart supabase-auth`",
            expect="The auth service answers its health check within seconds, and users can sign "
            "in.",
            way_back="Nothing to take back.",
            condition=lambda stack: _is_gone(stack, "auth"),
            action=restart("auth"),
            effect=lambda stack: serves(stack, "auth"),
            ends_cause=True,
        ),
        _restart_step(
            "vectordb", "qdrant", "the vector store", "`curl -m 2 http://QDRANT:6333/readyz`"
        ),
    ),
)
