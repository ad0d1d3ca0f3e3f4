"""The second half: from the outbox to the Workflows API.

dispatcher   the loop: what to load, what to send, what became of it
loading      outbox -> windows, and verdicts back
window       lanes: which entries may go now
surplus      which of them have to go back, so that others find room
away         … and of what there is something back there
batching     what a request is
choosing     which one is next
turns        … by priority
gate         whether it may go now
allowance    … by what the API allows its target, on the clock
budget       … requests of a token
quota        … under one policy of it
creations    … instances a second
metered      tells the allowance of every request and answer
following    requests that follow another one about the same call
sending      one request and what is known of each of its entries then
outcome      the table: what happens next to a call
verdicts     what is stored of it
probing      how often parked calls ask for their instances
watching     whether instances that a rule has made ended in an error
ration       how much of the requests one purpose may take
generations  whose an instance is, and under which other id a call goes
holding      what must not be called now, by what requests have shown
pauses       … until when, and whether somebody is trying it out
rejections   calls of a workflow that were refused one after the other
concurrency  how many requests may be in flight
retry        how long to wait
reporting    metrics and the log
"""
