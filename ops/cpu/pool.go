package cpu

import (
	"runtime"
	"sync"
	"sync/atomic"
)

// job is a loop over [0,n) whose iterations the pool shares out.
type job struct {
	body func(i int)
	n    int64
	next atomic.Int64
	left sync.WaitGroup // helpers that have not returned yet

	panicked atomic.Pointer[any] // what the first iteration that panicked did so with
}

func (j *job) work() {
	defer func() {
		if r := recover(); r != nil {
			first := r // one that is allocated only here
			j.panicked.CompareAndSwap(nil, &first)
			j.next.Store(j.n) // no more iterations
		}
	}()
	for {
		i := j.next.Add(1) - 1
		if i >= j.n {
			return
		}
		j.body(int(i))
	}
}

// jobs keeps jobs for later loops, so that these need no memory of their own.
var jobs = sync.Pool{New: func() any { return new(job) }}

// pool is the process's one set of worker goroutines. Workers are started when a loop could use more than there are, up to
// GOMAXPROCS−1 (the caller of a loop is the last one), and then live as long as the process, asleep between loops.
var pool struct {
	started atomic.Int64
	jobs    chan *job
}

func init() { pool.jobs = make(chan *job) }

func worker() {
	for j := range pool.jobs {
		j.work()
		j.left.Done()
	}
}

// parallel calls body(0) … body(n−1), each once, and returns when all are done. Iterations are handed out one by one in
// ascending order, so they should be of some tens of microseconds. Loops may run at the same time from several goroutines,
// and a body may itself call parallel: whoever finds no idle worker does its loop alone. A panic of a body, which in a worker
// would end the process, stops the loop and is the caller's.
func parallel(n int, body func(i int)) {
	workers := min(n, runtime.GOMAXPROCS(0)) - 1
	if workers < 1 {
		for i := range n {
			body(i)
		}
		return
	}
	for s := pool.started.Load(); s < int64(workers); s = pool.started.Load() {
		if pool.started.CompareAndSwap(s, s+1) {
			go worker()
		}
	}
	j := jobs.Get().(*job)
	defer jobs.Put(j)
	j.body, j.n = body, int64(n)
	j.next.Store(0)
	j.left.Add(workers)
	for range workers {
		select {
		case pool.jobs <- j:
		default: // no worker is idle
			j.left.Done()
		}
	}
	j.work()
	j.left.Wait()
	j.body = nil
	if r := j.panicked.Swap(nil); r != nil {
		panic(*r)
	}
}

// split cuts [0,n) into pieces of at least grain elements, enough to share out evenly, and calls body(lo, hi) for each.
func split(n, grain int, body func(lo, hi int)) {
	if n <= 0 {
		return
	}
	pieces := max(1, min(n/max(grain, 1), 4*runtime.GOMAXPROCS(0)))
	parallel(pieces, func(i int) { body(i*n/pieces, (i+1)*n/pieces) })
}
