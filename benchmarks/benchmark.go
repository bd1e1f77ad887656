package main

import (
	"fmt"
	"math"
	"runtime"
	"time"

	"github.com/gorgonia/moe/ops/backend"
)

// benchmark is one case: a work of one size.
type benchmark struct {
	work   *work
	shape  shape
	tokens int
	dtype  *dtype // of the weights, for a work that has some
	store  *store // shared by all cases
}

// String names the case in error messages.
func (b *benchmark) String() string {
	return fmt.Sprintf("%s %s T=%d %s", b.work.name, b.shape.name, b.tokens, b.dtypeName())
}

func (b *benchmark) dtypeName() string {
	if len(b.work.weights) == 0 {
		return "-"
	}
	return b.dtype.name
}

// prepare makes the case's problem and sets the work up for it.
func (b *benchmark) prepare(o *options) (*problem, func() error, error) {
	if b.tokens > math.MaxInt32/b.shape.K {
		return nil, nil, fmt.Errorf("T·K = %d·%d exceeds %d: %w", b.tokens, b.shape.K, math.MaxInt32, backend.ErrParameter)
	}
	ids, err := o.routing.ids(b.tokens, &b.shape)
	if err != nil {
		return nil, nil, err
	}
	p := &problem{
		shape: b.shape, tokens: b.tokens, context: o.context, layers: o.layers, align: o.align, rowCount: o.rows, pack: o.pack,
		weights: b.dtype, activations: o.activations, device: o.device, ids: ids, store: b.store,
	}
	if b.work.host {
		p.device, p.pack = backend.Host, false
	}
	if b.work.layered {
		p.rowCount = boundRows
	}
	run := b.work.setup(p)
	return p, run, p.err
}

// measure runs the case and reports it, with its shares of ceilings unless against is nil.
func (b *benchmark) measure(o *options, against *ceilings) (*record, error) {
	p, run, err := b.prepare(o)
	if err != nil {
		return nil, err
	}
	q := p.quantities()
	flops, err := b.work.flops.of(q)
	if err != nil {
		return nil, err
	}
	bytes, err := b.work.bytes.of(q)
	if err != nil {
		return nil, err
	}
	variant, err := b.work.variant(run)
	if err != nil {
		return nil, err
	}
	runs := []func() error{run}
	for range sets(b.cache(o), bytes) - 1 {
		_, run, err := b.prepare(o)
		if err != nil {
			return nil, err
		}
		runs = append(runs, run)
	}
	runtime.GC() // of what setups left
	time.Sleep(o.pause)
	t, err := timingOn(p.device, runs, o.budget)
	if err != nil {
		return nil, err
	}
	r := newRecord(t)
	r.Work, r.Shape, r.Tokens, r.Dtype = b.work.name, b.shape.name, b.tokens, b.dtypeName()
	r.Packed = p.pack && len(b.work.weights) > 0
	r.Activations, r.Routing, r.Rows = o.activations.name, o.routing.name, p.rowCount
	r.Backend, r.Variant = p.device.String(), variant
	r.GFLOPS, r.GBS = flops/t.median, bytes/t.median
	if against == nil {
		return r, nil
	}
	n := float64(len(runs))
	return r, against.shares(o, r, b.work, inOrder(runs...), n*flops, n*bytes)
}

// cache is the size of the cache that the case's operands are to leave from one run to the next, 0 if they may stay.
func (b *benchmark) cache(o *options) float64 {
	switch {
	case b.work.leavesCaches:
		return float64(hostCache())
	case b.work.host:
		return 0
	}
	return o.backend.cache
}
