"""An error for what is absent comes without the sentence that its schema promises."""

MODULE = "refstack.common.problems"
CATCHES = "api/schemas::every_answer_is_one_that_the_description_has"
REASON = "as described.*detail"


def patch(module):
    import orjson

    original = module.problem_response

    def terse(problem, *, instance, trace_id):
        response = original(problem, instance=instance, trace_id=trace_id)
        if problem.status != 404:
            return response
        body = orjson.loads(response.body)
        del body["detail"]
        headers = {"Cache-Control": "no-store"}
        return module.Response(
            orjson.dumps(body), 404, headers=headers, media_type=module.PROBLEM_JSON
        )

    module.problem_response = terse
