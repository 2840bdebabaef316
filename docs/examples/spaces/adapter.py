"""The adapter of the spaces API: personas are spaces, ids travel in headers, refusals are 200s."""

from urllib.parse import quote

from harness.core.gateway_api import (Call, Delete, GatewayApi, Health, List, Operation, Query,
                                      Read, Reply, Said, Write)

CODES = {"who": 401, "not-yours": 403, "nothing": 404, "taken": 409, "nonsense": 422, "later": 503}
DONE = {Write: 201, Delete: 204}


class Spaces(GatewayApi):
    name = "spaces"
    lacks = {"batch": "notes are put one at a time", "filter": "a search takes words only"}
    varying = ("x-ticket",)

    def credentials(self, token: str) -> dict[str, str]:
        return {"X-Pass": token}

    def call(self, operation: Operation) -> Call:
        match operation:
            case Query(words, space, most, rerank):
                order = "best" if rerank else "near"
                asked = {"words": words, "most": most, "order": order}
                return Call("SEARCH", f"/space/{quote(space, '')}", asked)
            case Write(space, text, key, about):
                labels = {"X-Note": key} if key else {}
                return Call("PUT", f"/space/{quote(space, '')}/note", {"body": text, "about": {**about}},
                            headers=labels)
            case Read(key) | Delete(key):
                verb = "PICK" if isinstance(operation, Read) else "DROP"
                return Call(verb, "/note", headers={"X-Note": key})
            case List(space, cursor, limit):
                where = {"space": space, "size": limit, "after": cursor}
                return Call("GET", "/notes", params={k: v for k, v in where.items() if v is not None})
            case Health():
                return Call("GET", "/alive")
        raise NotImplementedError(operation)

    def said(self, operation: Operation, reply: Reply) -> Said:
        told = reply.json
        if not told["ok"]:
            return Said(CODES.get(told["code"], 500))
        status = DONE.get(type(operation), 200)
        if isinstance(operation, Query):
            hits = [{**_note(hit), "score": hit["rank"]} for hit in told["hits"]]
            return Said(status, {"results": hits, "degraded": told["without"] or None})
        if isinstance(operation, List):
            rows = [_note(each) for each in told["notes"]]
            return Said(status, {"documents": rows, "next_cursor": told["more"] or None})
        if isinstance(operation, Health):
            return Said(status, {"software": "spaces", "version": told["release"]})
        return Said(status, {"document_id": reply.headers["x-note"], **_note(told)})


def _note(told: dict) -> dict:
    names = {"key": "document_id", "space": "persona", "body": "text", "about": "metadata"}
    return {ours: told[theirs] for theirs, ours in names.items() if theirs in told}
