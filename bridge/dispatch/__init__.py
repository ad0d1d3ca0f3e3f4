"""The second half: from the outbox to the Workflows API.

    dispatcher   the loop: what to load, what to send, what became of it
    loading      outbox -> windows, and verdicts back
    window       lanes: which entries may go now
    batching     the choice of the next request
    following    requests that follow another one about the same call
    sending      one request and what is known of each of its entries then
    outcome      the table: what happens next to a call
    verdicts     what is stored of it
    generations  whose an instance is, and under which other id a call goes
    holding      what must not be called now, by what requests have shown
    pauses       … until when, and whether somebody is trying it out
    rejections   calls of a workflow that were refused one after the other
    concurrency  how many requests may be in flight
    retry        how long to wait
    reporting    metrics and the log

Not here yet, and where it will stand: the budget of requests (``batching.choose`` asks ``may_go``; it will ask a budget
too).
"""
