package cpu

import (
	"reflect"
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

// cut is a loop over [0,n) in pieces.
type cut struct {
	body      func(lo, hi int)
	n, pieces int
	piece     func(i int)
}

// cuts keeps cuts for later loops.
var cuts = sync.Pool{New: func() any {
	c := new(cut)
	c.piece = func(i int) { c.body(i*c.n/c.pieces, (i+1)*c.n/c.pieces) }
	return c
}}

// split cuts [0,n) into pieces of at least grain elements, enough to share out evenly, and calls body(lo, hi) for each.
func split(n, grain int, body func(lo, hi int)) {
	if n <= 0 {
		return
	}
	pieces := max(1, min(n/max(grain, 1), 4*runtime.GOMAXPROCS(0)))
	if pieces == 1 {
		body(0, n)
		return
	}
	c := cuts.Get().(*cut)
	c.body, c.n, c.pieces = body, n, pieces
	parallel(pieces, c.piece)
	c.body = nil
	cuts.Put(c)
}

// loop is what a stage shares out: its operands S and the body that computes the elements [lo,hi) of them. It is kept for a later
// call of the stage, so that a call needs no memory of its own.
type loop[S any] struct {
	s    S
	body func(lo, hi int)
}

// spanner is a pointer to the operands of a loop.
type spanner[S any] interface {
	*S
	span(lo, hi int)
}

// loops keeps a pool of loops for each type of operands.
var loops sync.Map // of *sync.Pool by reflect.Type

// getLoop gives a loop whose operands are zero, to be returned with free.
func getLoop[S any, P spanner[S]]() *loop[S] {
	key := reflect.TypeFor[S]()
	pool, ok := loops.Load(key)
	if !ok {
		pool, _ = loops.LoadOrStore(key, &sync.Pool{New: func() any {
			l := new(loop[S])
			l.body = P(&l.s).span
			return l
		}})
	}
	return pool.(*sync.Pool).Get().(*loop[S])
}

// run computes the elements [0,n), at least grain at a time.
func (l *loop[S]) run(n, grain int) { split(n, grain, l.body) }

// free keeps l for later, without the operands.
func (l *loop[S]) free() {
	var none S
	l.s = none
	pool, _ := loops.Load(reflect.TypeFor[S]())
	pool.(*sync.Pool).Put(l)
}
