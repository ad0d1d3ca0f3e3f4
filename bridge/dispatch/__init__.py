"""The second half: from the outbox to the Workflows API.

    dispatcher   the loop: what to load, what to send, what became of it
    loading      outbox -> windows, and verdicts back
    window       lanes: which entries may go now
    batching     the choice of the next request
    sending      one request and the fate of each of its entries
    outcome      the table: what happens next to a call
    pauses       what must not be called now
    retry        how long to wait

Not here yet, and where it will stand: the budget of requests (``batching.choose`` asks ``may_go``; it will ask a budget
too), and what to do about a used id other than to be content with it (``outcome``, EXISTS).
"""
