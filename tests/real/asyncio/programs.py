"""Small programs on CPython's asyncio, whose twins are in ../tests/asyncio.rs under the same names.

Each prints what happens, in order. `python3 programs.py` runs them all, each under a line `== name`;
`python3 programs.py name` runs one. What a Python of before 3.13 lacks is not used.
"""

import asyncio
import sys
from asyncio import CancelledError, create_task, sleep

PROGRAMS = {}
P = print
MS = 0.02  # One tick of the programs that sleep.


def program(f):
    PROGRAMS[f.__name__] = f
    return f


async def say(word, times=1):
    for n in range(times):
        P(word, n)
        await sleep(0)
    return word


@program
async def a_task_begins_after_its_creator_waits():
    P("before")
    task = create_task(say("task"))
    P("created")
    await sleep(0)
    P("after")
    P(await task)


@program
async def tasks_take_turns():
    tasks = [create_task(say(word, 3)) for word in "abc"]
    for task in tasks:
        await task


@program
async def a_coroutine_that_is_awaited_is_no_task():
    other = create_task(say("task"))
    await say("awaited", 2)
    await other


@program
async def awaiting_what_is_done_does_not_wait():
    task = create_task(say("first"))
    await task
    other = create_task(say("other"))
    P(await task)
    P("no turn for the other yet")
    await other


@program
async def callbacks_and_tasks_share_a_queue():
    loop = asyncio.get_running_loop()
    loop.call_soon(P, "callback 1")
    task = create_task(say("task"))
    loop.call_soon(P, "callback 2")
    handle = loop.call_soon(P, "never")
    handle.cancel()
    P(handle.cancelled())
    await task


@program
async def a_callback_that_calls_soon_comes_a_round_later():
    loop = asyncio.get_running_loop()

    def first():
        P("first")
        loop.call_soon(P, "third")

    loop.call_soon(first)
    loop.call_soon(P, "second")
    await sleep(0)
    P("main")
    await sleep(0)


@program
async def timers_fire_by_deadline_and_in_the_order_they_were_set():
    loop = asyncio.get_running_loop()
    loop.call_later(3 * MS, P, "late")
    loop.call_later(MS, P, "early")
    when = loop.time() + 2 * MS
    for word in ("one", "two", "three"):
        loop.call_at(when, P, word)
    loop.call_later(2 * MS, P, "never").cancel()
    await sleep(4 * MS)


@program
async def done_callbacks_run_in_order_after_what_is_queued():
    loop = asyncio.get_running_loop()
    future = loop.create_future()
    for word in "ab":
        future.add_done_callback(lambda f, word=word: P(word, f.result()))
    removed = lambda f: P("never")
    future.add_done_callback(removed)
    future.remove_done_callback(removed)
    loop.call_soon(P, "queued before")
    future.set_result(1)
    P("set")
    loop.call_soon(P, "queued after")
    future.add_done_callback(lambda f: P("late", f.result()))
    await sleep(0)
    await sleep(0)


@program
async def waiters_and_callbacks_stand_in_one_line():
    future = asyncio.get_running_loop().create_future()

    async def wait(word):
        P(word, "got", await future)

    first = create_task(wait("first"))
    await sleep(0)
    future.add_done_callback(lambda f: P("callback"))
    last = create_task(wait("last"))
    await sleep(0)
    future.set_result(7)
    P("set")
    await first
    await last


@program
async def a_future_is_set_once():
    future = asyncio.get_running_loop().create_future()
    P(future.done())
    future.set_result(1)
    try:
        future.set_result(2)
    except asyncio.InvalidStateError:
        P("not twice")
    P(future.cancel(), future.result())


@program
async def a_failed_or_cancelled_future_tells_all_who_wait():
    loop = asyncio.get_running_loop()

    async def wait(word, future):
        try:
            await future
        except CancelledError:
            P(word, "cancelled", future.cancelled())
        except ValueError as error:
            P(word, error)

    for fails in (True, False):
        future = loop.create_future()
        tasks = [create_task(wait(word, future)) for word in "ab"]
        await sleep(0)
        if fails:
            future.set_exception(ValueError("no"))
        else:
            P(future.cancel(), future.cancel())
        for task in tasks:
            await task


@program
async def a_task_that_is_cancelled_before_it_began_never_runs():
    task = create_task(say("never"))
    P(task.cancel())
    try:
        await task
    except CancelledError:
        P("cancelled", task.cancelled())


async def parked(word):
    try:
        await sleep(3600)
    finally:
        P(word, "cleans up")


@program
async def a_cancel_comes_at_the_next_turn():
    task = create_task(parked("task"))
    await sleep(0)
    task.cancel()
    P("asked")
    try:
        await task
    except CancelledError:
        P("joined")


@program
async def cancels_come_in_the_order_of_the_asking():
    tasks = [create_task(parked(word)) for word in "abc"]
    await sleep(0)
    for n in (2, 0, 1):
        tasks[n].cancel()
    P("asked")
    for task in tasks:
        try:
            await task
        except CancelledError:
            pass
    P("joined")


@program
async def to_cancel_what_has_ended_changes_nothing():
    task = create_task(say("task"))
    await task
    P(task.cancel(), await task)


@program
async def gather_starts_in_order_and_keeps_places():
    async def slow(word, rounds):
        for _ in range(rounds):
            await sleep(0)
        P(word)
        return word

    P(*await asyncio.gather(slow("a", 3), slow("b", 1), slow("c", 2)))


async def fails(word):
    await sleep(0)
    P(word, "fails")
    raise ValueError(word)


@program
async def gather_keeps_errors_in_their_places():
    results = await asyncio.gather(say("a"), fails("b"), say("c"), return_exceptions=True)
    P(*("error" if isinstance(r, ValueError) else r for r in results))


@program
async def the_first_error_ends_a_gather_and_not_its_children():
    gate = asyncio.Event()

    async def child():
        await gate.wait()
        P("child goes on")

    try:
        await asyncio.gather(child(), fails("b"))
    except ValueError as error:
        P("gather failed by", error)
    gate.set()
    await sleep(0)


@program
async def a_gather_that_is_cancelled_cancels_its_children():
    async def gather():
        await asyncio.gather(parked("a"), parked("b"))

    task = create_task(gather())
    await sleep(0)
    await sleep(0)
    task.cancel()
    try:
        await task
    except CancelledError:
        P("cancelled")


@program
async def wait_returns_with_the_first():
    tasks = [create_task(parked("a")), create_task(say("b", 2)), create_task(parked("c"))]
    done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    P(len(done), len(pending), *(task.result() for task in done))
    for task in (tasks[2], tasks[0]):
        task.cancel()
    done, pending = await asyncio.wait(pending)
    P(len(done), len(pending), tasks[0].cancelled())


@program
async def wait_returns_with_the_first_exception():
    tasks = [create_task(say("a", 1)), create_task(parked("b")), create_task(fails("c"))]
    done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
    P(len(done), len(pending))
    tasks[1].cancel()
    await asyncio.wait(pending)


@program
async def as_completed_yields_by_the_end():
    async def slow(word, rounds):
        await sleep(rounds * MS)
        return word

    for future in asyncio.as_completed([slow("a", 3), slow("b", 1), slow("c", 2)]):
        P(await future)


@program
async def a_timeout_cancels_and_waits_for_the_clean_up():
    try:
        await asyncio.wait_for(parked("inner"), MS)
    except TimeoutError:
        P("timed out")
    P(await asyncio.wait_for(say("in time"), 3600))


@program
async def only_the_timeout_that_passed_says_so():
    try:
        async with asyncio.timeout(MS):
            try:
                async with asyncio.timeout(3600):
                    await parked("innermost")
            except TimeoutError:
                P("wrong: the inner")
    except TimeoutError:
        P("the outer")


@program
async def a_shield_lets_the_inner_go_on():
    inner = create_task(say("inner", 3))

    async def outer():
        await asyncio.shield(inner)

    task = create_task(outer())
    await sleep(0)
    task.cancel()
    try:
        await task
    except CancelledError:
        P("outer cancelled")
    P(await inner)


@program
async def a_group_waits_for_all():
    async with asyncio.TaskGroup() as group:
        group.create_task(say("a", 2))
        group.create_task(say("b", 1))
        P("body ends")
    P("group ended")


@program
async def an_error_in_a_group_cancels_the_others():
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(parked("a"))
            group.create_task(parked("b"))
            group.create_task(fails("c"))
            P("body ends")
    except* ValueError as errors:
        P("group failed", len(errors.exceptions))


@program
async def a_lock_goes_to_who_has_waited_the_longest():
    lock = asyncio.Lock()

    async def work(word):
        for n in range(2):
            async with lock:
                P(word, n)
                await sleep(0)

    await asyncio.gather(work("a"), work("b"), work("c"))


@program
async def a_waiter_that_is_cancelled_is_passed_over():
    lock = asyncio.Lock()

    async def work(word):
        async with lock:
            P(word)

    await lock.acquire()
    tasks = [create_task(work(word)) for word in "abc"]
    await sleep(0)
    tasks[0].cancel()
    P("released")
    lock.release()
    await asyncio.wait(tasks)


@program
async def a_semaphore_lets_two_in_and_in_order():
    semaphore = asyncio.Semaphore(2)

    async def work(word):
        async with semaphore:
            P(word, "in")
            await sleep(0)
            P(word, "out")

    await asyncio.gather(*(work(word) for word in "abcd"))


@program
async def an_event_that_is_cleared_at_once_lets_its_waiters_go():
    event = asyncio.Event()

    async def wait(word):
        await event.wait()
        P(word)

    tasks = [create_task(wait(word)) for word in "ab"]
    await sleep(0)
    event.set()
    event.clear()
    late = create_task(wait("late"))
    P("set and cleared")
    for task in tasks:
        await task
    P(late.done())
    event.set()
    await late


@program
async def a_condition_wakes_the_longest_waiter_first():
    condition = asyncio.Condition()

    async def wait(word):
        async with condition:
            await condition.wait()
            P(word)

    tasks = [create_task(wait(word)) for word in "abcd"]
    await sleep(0)
    async with condition:
        condition.notify(1)
        P("one")
    await tasks[0]
    async with condition:
        condition.notify_all()
        P("all")
    for task in tasks:
        await task


@program
async def a_barrier_lets_all_go():
    barrier = asyncio.Barrier(3)

    async def work(word):
        P(word, "comes")
        await barrier.wait()
        P(word, "goes")

    await asyncio.gather(*(work(word) for word in "abc"))


@program
async def a_queue_of_one_is_a_hand_over():
    queue = asyncio.Queue(1)

    async def produce():
        for n in range(4):
            await queue.put(n)
            P("put", n)

    async def consume():
        for _ in range(4):
            P("got", await queue.get())

    await asyncio.gather(produce(), consume())


@program
async def getters_are_served_in_their_order():
    queue = asyncio.Queue()

    async def get(word):
        P(word, await queue.get())

    tasks = [create_task(get(word)) for word in "abc"]
    await sleep(0)
    tasks[1].cancel()
    for n in (1, 2):
        queue.put_nowait(n)
    P("put", queue.qsize())
    await asyncio.wait(tasks)


@program
async def a_queue_is_joined_when_all_is_done():
    queue = asyncio.Queue()

    async def work():
        while True:
            item = await queue.get()
            P("work", item)
            await sleep(0)
            queue.task_done()

    async def join():
        await queue.join()
        P("joined")

    for n in range(3):
        queue.put_nowait(n)
    worker, joiner = create_task(work()), create_task(join())
    await joiner
    worker.cancel()


@program
async def priorities_and_stacks():
    urgent, stack = asyncio.PriorityQueue(), asyncio.LifoQueue()
    for n, word in ((3, "c"), (1, "a"), (2, "b")):
        urgent.put_nowait((n, word))
        stack.put_nowait(word)
    while not urgent.empty():
        P(urgent.get_nowait()[1], stack.get_nowait())
    try:
        urgent.get_nowait()
    except asyncio.QueueEmpty:
        P("empty")


@program
async def what_lies_in_a_priority_queue_when_the_getter_comes_counts():
    queue = asyncio.PriorityQueue()

    async def get():
        P(await queue.get())

    task = create_task(get())
    await sleep(0)
    queue.put_nowait(2)
    queue.put_nowait(1)
    await task


# What greenlit does in another way; its twin prints what stands in its comment.


@program
async def differs_a_task_may_swallow_its_cancel():
    async def stubborn():
        try:
            await sleep(3600)
        except CancelledError:
            P("swallowed")
            await sleep(0)
        P("went on")

    task = create_task(stubborn())
    await sleep(0)
    task.cancel()
    await task
    P("cancelled", task.cancelled())


@program
async def differs_a_barging_getter_may_take_a_woken_getters_item():
    queue = asyncio.Queue()

    async def get():
        P("task", await queue.get())

    task = create_task(get())
    await sleep(0)
    queue.put_nowait(1)
    P("main", queue.get_nowait())
    queue.put_nowait(2)
    await task


@program
async def differs_to_cancel_a_waiting_task_cancels_the_future():
    future = asyncio.get_running_loop().create_future()

    async def wait():
        await future

    task = create_task(wait())
    await sleep(0)
    task.cancel()
    await asyncio.wait([task])
    P("future cancelled", future.cancelled())


@program
async def differs_who_comes_again_to_a_barrier_waits_until_it_has_drained():
    barrier = asyncio.Barrier(3)

    async def work(word):
        for n in range(2):
            P(word, "comes", n)
            await barrier.wait()
        P(word, "goes")

    await asyncio.gather(*(work(word) for word in "abc"))


if __name__ == "__main__":
    for name in sys.argv[1:] or PROGRAMS:
        print("==", name)
        asyncio.run(PROGRAMS[name]())
