package cpu

import (
	"reflect"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// job is a loop over [0,n) whose iterations the pool shares out.
type job struct {
	body func(i int)
	n    int64
	next atomic.Int64

	// state is the number of the loop, times aLoop, plus the goroutines that are in it. The number changes when the loop ends: from
	// then on nobody comes in.
	state atomic.Uint64
	done  chan struct{} // the last helper's word to a caller that waits

	panicked atomic.Pointer[any] // what the first iteration that panicked did so with
}

const aLoop = 1 << 32

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

// leave counts a goroutine out and tells whether it was the last.
func (j *job) leave() bool { return j.state.Add(^uint64(0))%aLoop == 0 }

// end waits until no helper is in the loop: a while awake, as most are in their last iteration, then asleep.
func (j *job) end() {
	j.state.Add(aLoop)
	awake(func() bool { return j.state.Load()%aLoop == 1 })
	if !j.leave() {
		<-j.done
	}
}

// offer asks a worker to help with a loop, by its number, so that an offer that comes late does no harm.
type offer struct {
	job  *job
	loop uint64
}

// take helps, unless the loop has ended, and tells whether the caller slept and has been woken.
func (o offer) take() (woken bool) {
	for s := o.job.state.Load(); s/aLoop == o.loop; s = o.job.state.Load() {
		if !o.job.state.CompareAndSwap(s, s+1) {
			continue
		}
		o.job.work()
		if o.job.leave() {
			o.job.done <- struct{}{}
			return true
		}
		return false
	}
	return false
}

// jobs keeps jobs for later loops, so that these need no memory of their own.
var jobs = sync.Pool{New: func() any { return &job{done: make(chan struct{}, 1)} }}

// pool is the process's one set of worker goroutines. Workers are started when a loop could use more than there are, up to
// GOMAXPROCS−1 (the caller of a loop is the last one), and then live as long as the process. Between loops they sleep, but stay awake
// for wakeTime first: waking one takes longer than many a loop, and loops often follow each other.
var pool struct {
	started atomic.Int64
	awake   atomic.Int64 // workers awake without a loop that no caller has claimed yet
	claimed chan offer   // for those that one has claimed
	open    chan offer   // for those that sleep, or come late from another loop
}

// wakeTime is how long a worker without a loop, or a caller whose helpers are not done, stays awake.
const wakeTime = 40 * time.Microsecond

func init() { pool.claimed, pool.open = make(chan offer, 64), make(chan offer, 64) }

// post offers a loop to whoever comes first, and tells whether that is a worker it has woken. If there are too many offers, the oldest,
// whose loop has most likely ended, is dropped.
func post(o offer) (woken bool) {
	for {
		select {
		case pool.open <- o:
			return len(pool.open) == 0
		default:
		}
		select {
		case <-pool.open:
		default:
		}
	}
}

// awake waits for wakeTime at most for something to happen, and tells whether it did.
func awake(happened func() bool) bool {
	for start := time.Now(); ; {
		for range 16 {
			if happened() {
				return true
			}
			pause()
		}
		if time.Since(start) > wakeTime {
			return false
		}
	}
}

// makeWay lets another processor take the worker that was woken last. The runtime keeps that one apart for its waker's processor, which
// may be about to wait, and whoever would take it sleeps first, for 3 µs, of which Linux makes 60. Here a new goroutine, with nothing
// to do, takes its place.
func makeWay() { go func() {}() }

// lock locks what is soon unlocked: it waits a while awake. A mutex itself does so only for moments, and not at all where a goroutine
// waits for the processor, as one may after makeWay.
func lock(mu *sync.Mutex) {
	if !mu.TryLock() && !awake(mu.TryLock) {
		mu.Lock()
	}
}

// countdown lets iterations of a loop wait for what others make. Those come before them and wait for none: as iterations are begun in
// ascending order, all that are waited for are under way.
type countdown struct {
	left     atomic.Int64 // of the others
	ready    atomic.Bool
	sleepers sync.WaitGroup
}

// expect adds an iteration to those that are waited for. The first comes to a zero countdown.
func (c *countdown) expect() {
	if c.left.Add(1) == 1 {
		c.sleepers.Add(1)
	}
}

// done counts one of them, be it that it panicked. After the last, finish runs, and then whoever waits goes on.
func (c *countdown) done(finish func()) {
	if c.left.Add(-1) > 0 {
		return
	}
	defer func() {
		c.ready.Store(true)
		c.sleepers.Done()
	}()
	finish()
}

// wait waits, a while awake, as most are soon done, then asleep.
func (c *countdown) wait() {
	if !awake(c.ready.Load) {
		c.sleepers.Wait()
	}
}

// worker helps with one loop after the other. If it has woken a caller, that waits for the worker's processor: then the worker sleeps
// at once, which gives it away, and can be woken by the caller's next loop.
func worker() {
	for {
		for o := nextOffer(); o.take(); o = <-pool.open {
		}
	}
}

// nextOffer waits for an offer.
func nextOffer() (o offer) {
	select {
	case o = <-pool.open: // of a loop that began while this worker was in another
		return o
	default:
	}
	pool.awake.Add(1)
	if awake(func() bool {
		select {
		case o = <-pool.claimed:
			return true
		default:
			return false
		}
	}) {
		return o
	}
	if claim() { // so that no caller does; all who are awake are the same
		return <-pool.open
	}
	return <-pool.claimed
}

// claim takes one of the workers that are awake, if there is any.
func claim() bool {
	for n := pool.awake.Load(); n > 0; n = pool.awake.Load() {
		if pool.awake.CompareAndSwap(n, n-1) {
			return true
		}
	}
	return false
}

// parallel calls body(0) … body(n−1), each once, and returns when all are done. Iterations are handed out one by one in
// ascending order, so they should be of some tens of microseconds. Loops may run at the same time from several goroutines,
// and a body may itself call parallel: whoever finds no idle worker does its loop alone until one comes. A panic of a
// body, which in a worker would end the process, stops the loop and is the caller's.
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
	j.body, j.n = body, int64(n)
	j.next.Store(0)
	o := offer{j, j.state.Add(1) / aLoop}
	woken := false
	for range workers {
		if claim() {
			pool.claimed <- o
		} else if post(o) {
			woken = true
		}
	}
	if woken {
		makeWay()
	}
	j.work()
	j.end()
	r := j.panicked.Swap(nil)
	j.body = nil
	jobs.Put(j)
	if r != nil {
		panic(*r)
	}
}

// pieces is how many pieces of some size n is cut into, the last of which may be smaller.
func pieces[N int | int64](n, size N) N { return (n + size - 1) / size }

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
	pieces := max(1, min(n/max(grain, 1), 8*runtime.GOMAXPROCS(0)))
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
